"""Run the command line as `python -m gitreg`."""

from __future__ import annotations

from gitreg.cli import main

if __name__ == "__main__":
    main()
