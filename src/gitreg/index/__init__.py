"""Keep what the files of a registry say in SQLite, and answer searches from it; the index never decides anything."""

from __future__ import annotations

INDEX = "gitreg/index.sqlite"
"""Where the file is, below the git directory."""
