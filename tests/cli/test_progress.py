"""Who watches a transfer sees its rate and the time left; who does not, sees nothing."""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING

from gitreg.cli.progress import progress
from gitreg.objects import LocalStore, Source, store_sources
from gitreg.objects.upload import Expecting

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


def test_a_terminal_shows_how_much_there_is_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    with progress("storing") as moved:
        assert isinstance(moved, Expecting)
        moved.expect(100 << 20)
        for _ in range(8):
            moved("out/model\x1b[31m.onnx", 5 << 20)
            time.sleep(0.06)

    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "storing out/model" in said
    assert re.search(r"\d+\.0/100\.0 MiB", said)
    assert re.search(r"\d \wiB/s", said)
    assert re.search(r"\d\d:\d\d", said)


def test_nobody_who_watches_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress("storing", quiet=True) as moved:
        assert moved is None
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress("storing") as moved:
        assert moved is None


def test_the_bytes_that_are_told_are_those_that_were_expected(tmp_path: Path) -> None:
    class Heard:
        def __init__(self) -> None:
            self.expected: list[int] = []
            self.moved = 0

        def __call__(self, _path: str, moved: int, /) -> None:
            self.moved += moved

        def expect(self, size: int, /) -> None:
            self.expected.append(size)

    for name, size in (("a", 700_000), ("b", 5 << 20), ("c", 0)):
        (tmp_path / name).write_bytes(b"x" * size)
    heard = Heard()
    store_sources(LocalStore(tmp_path / "store"), [Source(name, tmp_path / name) for name in "abc"], heard)

    assert heard.expected == [700_000 + (5 << 20)] == [heard.moved]
