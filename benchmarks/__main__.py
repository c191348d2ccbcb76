"""Run the benchmarks: `python -m benchmarks`, or `make bench`."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cloud, commands, index, many, peers, pulling, push, reading, server, startup, storing, writing
from benchmarks.measure import Row, table
from benchmarks.setting import Setting, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RESULTS = Path(__file__).parent / "RESULTS.md"
_GROUPS: dict[str, tuple[str, Callable[[Setting], Iterator[Row]]]] = {
    "startup": ("Starting", startup.run),
    "push": ("Pushing", push.run),
    "many": ("Pushing a thousand versions", many.run),
    "register": ("Registering", writing.run),
    "read": ("Reading everything", reading.run),
    "index": ("The index", index.run),
    "store": ("Storing", storing.run),
    "pull": ("Pulling", pulling.run),
    "cloud": ("Clouds", cloud.run),
    "server": ("A server", server.run),
    "commands": ("Every command", commands.run),
}
_NAMED = ("commands",)  # they take as long as all the others, and run where they are asked for


def main() -> None:
    args = _arguments()
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gitreg-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        large = 10_000 if args.quick else args.large
        sealed = environment(folder, "root")
        setting = Setting(
            folder=folder.resolve(), small=args.small, large=large, repeats=args.repeats, environment=sealed
        )
        groups = {name: _GROUPS[name] for name in args.only or (name for name in _GROUPS if name not in _NAMED)}
        if args.peers:
            groups["peers"] = ("Peers", peers.run)
        parts = [(title, _group(title, run, setting)) for title, run in groups.values()]
    if args.write:
        RESULTS.write_text(_document(parts, args))
    missed = [row for _, rows in parts for row in rows if row.verdict == "missed"]
    print(f"\n{len(missed)} targets missed" if missed else "\nevery target is met")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure gitreg against floors.")
    parser.add_argument(
        "--only",
        action="append",
        choices=_GROUPS,
        help="run this group; may be given several times; without, all but `commands`",
    )
    parser.add_argument("--peers", action="store_true", help="measure gto and mlflow beside it, where installed")
    parser.add_argument("--quick", action="store_true", help="10,000 versions in place of 100,000")
    parser.add_argument("--small", type=int, default=1000, metavar="N", help="versions in the small registry")
    parser.add_argument("--large", type=int, default=100_000, metavar="N", help="versions in the large registry")
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="how often each case runs")
    parser.add_argument("--folder", type=Path, help="keep the generated registries here, and use those that are there")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    return parser.parse_args()


def _group(title: str, run: Callable[[Setting], Iterator[Row]], setting: Setting) -> list[Row]:
    rows = list(run(setting))
    if rows:
        print(f"\n{title}\n\n{table(rows)}", flush=True)
    return rows


def _document(parts: Sequence[tuple[str, Sequence[Row]]], args: argparse.Namespace) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {_git_version()}"
    lines = [
        "# Results",
        "",
        f"Medians of {args.repeats} runs by `python -m benchmarks` on {platform.system()}: {machine}.",
        "Only the ratios mean anything on another machine: each compares what was timed in turns in the same run.",
    ]
    for title, rows in parts:
        if rows:
            lines += ["", f"## {title}", "", table(rows, markdown=True)]
    return "\n".join([*lines, ""])


def _git_version() -> str:
    said = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout
    return " ".join(said.split()[:3]).replace(" version", "")


if __name__ == "__main__":
    main()
