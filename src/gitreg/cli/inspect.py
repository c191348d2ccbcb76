"""`gitreg inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitreg.cli.session import Session, command
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.cli.screen import Screen
    from gitreg.scan import Inspection, Tensor

_SHOWN = 20  # tensors


@command("inspect")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--tensors", "every", is_flag=True, help="List every tensor, not the first twenty alone.")
def inspect(session: Session, files: tuple[str, ...], every: bool) -> None:
    r"""Show what model files hold, without loading them.

    Format, tensors, inputs and outputs, what a pickle would import; and what is wrong with a file. Nothing is
    registered, and nothing of a file is run. Exits with 6 where a file is damaged, or would run code that is known to
    be dangerous.

    \b
      gitreg inspect model.onnx
      gitreg inspect --json downloads/*.pkl
    """
    from pathlib import Path

    from gitreg.errors import IntegrityError
    from gitreg.scan import inspect_files

    found = inspect_files([(Path(file), file) for file in files])
    problems = {each.path: _problem(each, Path(each.path)) for each in found}
    if session.as_json:
        rows = [each.to_data() | ({"problem": problems[each.path]} if problems[each.path] else {}) for each in found]
        session.answer(rows[0] if len(rows) == 1 else rows, _nothing)
    else:
        session.answer(found, lambda screen, value: _render(screen, value, problems, every=every))
    bad = [each.path for each in found if problems[each.path] or each.dangers]
    if bad:
        raise IntegrityError(f"not to be loaded: {', '.join(bad)}", hint="see what was found above")


def _nothing(_screen: Screen, _value: Any) -> None:  # noqa: ANN401 - JSON needs no rendering
    return


def _problem(found: Inspection, path: Path) -> str | None:
    """Say what is wrong with a file, or with one that it needs beside it."""
    if found.problem:
        return found.problem
    for name, size in found.files.items():
        beside = path.with_suffix(name) if name == ".bin" else path.parent / name
        if beside.is_file() and beside.stat().st_size < size:
            return f"its tensors need {size:,} bytes of {beside.name!r}, which has {beside.stat().st_size:,}: truncated"
    return None


def _render(screen: Screen, found: Sequence[Inspection], problems: dict[str, str | None], *, every: bool) -> None:
    for index, each in enumerate(found):
        if index:
            screen.line()
        screen.line(each.path, "bold")
        screen.fields(_fields(each, problems[each.path]))
        _features(screen, "Inputs", each.inputs or ())
        _features(screen, "Outputs", each.outputs or ())
        shown = each.tensors if every else each.tensors[:_SHOWN]
        _features(screen, "Tensors", shown)
        if each.tensor_count > len(shown):
            screen.line(f"and {each.tensor_count - len(shown):,} more")


def _fields(found: Inspection, problem: str | None) -> list[tuple[str, object]]:
    dtypes = ", ".join(f"{count:,} {name}" for name, count in found.dtypes.items())
    rows: list[tuple[str, object]] = [
        ("format", f"{found.format}, runs code when it is loaded" if found.runs_code else found.format),
        ("size", human_size(found.size)),
        ("problem", problem),
        ("dangers", ", ".join(found.dangers)),
        ("imports", ", ".join(found.imports)),
        ("holds", ", ".join(found.holds)),
        ("parameters", f"{found.parameters:,}" if found.parameters else None),
        ("tensors", f"{found.tensor_count:,} ({dtypes})" if found.tensor_count else None),
        ("needs", ", ".join(f"{name} ({human_size(size)})" for name, size in found.files.items())),
        *found.details.items(),
        *(("note", note) for note in found.notes),
    ]
    return [(name, value) for name, value in rows if value not in (None, "")]


def _features(screen: Screen, title: str, tensors: Sequence[Tensor]) -> None:
    if tensors:
        screen.heading(title)
        rows = [
            (each.name, each.dtype, "x".join("?" if size is None else str(size) for size in each.shape))
            for each in tensors
        ]
        screen.table(("NAME", "TYPE", "SHAPE"), rows)
