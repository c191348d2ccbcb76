"""The command line: every command parses, makes one call on the façade, and renders one value."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run `gitreg` with the arguments of the process, and exit."""
    # A command that ends in a tenth of a second is not worth collecting after while its modules are imported.
    gc.set_threshold(50_000)
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130  # 128 + SIGINT, as shells count
    gc.freeze()  # nor after it has answered
    sys.exit(code)


def _run(args: list[str]) -> int:
    # Imported here, so that Ctrl-C is clean from the first moment on and the help waits for nothing that it does not
    # need: click alone takes three times as long as Python itself.
    if args in (["--help"], ["-h"]):
        from gitreg.cli.help import print_help

        return print_help()
    from gitreg.cli.boundary import run

    return run(args)
