"""Write the options of every command into docs/cli.md, between its markers.

To be run after a change of an option's name or help; with --check it only tells whether that is due.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from gitreg.cli.group import gitreg

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
BLOCK = re.compile(r"(<!-- options: ([a-z -]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMMON = {"json", "help", "dry_run", "propose", "user", "at"}


def options(name: str) -> str:
    """Give a command's own options as a list; those that many share are described once, at the top of the page."""
    context = click.Context(gitreg)
    found: click.Command | None = gitreg
    for word in name.split():
        found = found.get_command(context, word) if isinstance(found, click.Group) else None
    if found is None:
        raise SystemExit(f"{PAGE.name}: there is no command {name!r}")
    rows = []
    for option in found.params:
        shared = option.name in COMMON and not (name == "check" and option.name == "user")
        if isinstance(option, click.Option) and not option.hidden and not shared:
            default = f" Default: {option.default}." if option.show_default else ""
            rows.append(f"- `{spelling(option)}`: {option.help}{default}\n")
    return "".join(rows)


def spelling(option: click.Option) -> str:
    """Write an option as its help does, in words that no release of click lays out differently."""
    choices = option.type.choices if isinstance(option.type, click.Choice) else [option.type.name.upper()]
    value = option.metavar or "|".join(map(str, choices))
    return " ".join([", ".join(option.opts), *([] if option.is_flag else [value])])


def main() -> None:
    old = PAGE.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda match: f"{match[1]}{options(match[2])}{match[3]}", old)
    if "--check" in sys.argv[1:]:
        if new != old:
            sys.exit(f"{PAGE.name} is not up to date: python tools/cli_options.py")
        return
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
