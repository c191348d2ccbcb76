from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.cli.screen import Branch, Screen
from gitreg.cli.text import clean, json_text, number, one_line, pairs
from gitreg.quantities import human_size, signed
from tests.cli.conftest import EVIL

if TYPE_CHECKING:
    from pathlib import Path

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def _shown(stream: io.StringIO) -> str:
    return stream.getvalue()


@given(st.text(st.characters(codec=None)))
def test_no_control_character_is_left(text: str) -> None:
    assert not CONTROLS.search(clean(text, lines=True))
    assert "\n" not in clean(text)
    assert "  " not in one_line(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@given(st.text(st.characters(codec=None)))
def test_json_is_safe_to_show_and_says_the_same(text: str) -> None:
    shown = json_text({"text": text})
    assert not CONTROLS.search(shown)
    assert json.loads(shown) == {"text": text}


def test_an_escape_sequence_is_shown_and_not_obeyed() -> None:
    assert clean("a\x1b[31mb\x9bc\u202ed") == "a\\x1b[31mb\\x9bc\\u202ed"
    assert clean("a\tb\r\nc") == "a b  c"
    assert clean("👩‍🚀 naïve") == "👩‍🚀 naïve"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (90_868_376, "86.7 MiB"),
        (5 << 40, "5.0 TiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert human_size(size) == text


def test_numbers_are_short_and_differences_signed() -> None:
    assert (number(0.1 + 0.2), number(20), number(1e-9), number("x")) == ("0.3", "20", "1e-09", "x")
    assert (signed(0.05), signed(-3), signed(0)) == ("+0.05", "-3", "+0")
    assert pairs({"a": 1, "b": 2, "c": 3}, 2) == "a=1 b=2 …"


def test_a_table_in_a_pipe_is_aligned_and_splits_at_two_spaces() -> None:
    stream = io.StringIO()
    Screen(stream).table(("NAME", "SIZE", "NOTE"), [("a  b", 10, "x\ny"), ("longer name", 5, None)], right={"SIZE"})
    lines = _shown(stream).splitlines()
    assert lines == ["NAME         SIZE  NOTE", "a b            10  x y", "longer name     5  -"]
    assert [re.split("  +", line) for line in lines][1:] == [["a b", "10", "x y"], ["longer name", "5", "-"]]


def test_a_table_without_rows_is_its_header() -> None:
    stream = io.StringIO()
    Screen(stream).table(("A", "B"), [])
    assert _shown(stream) == "A  B\n"


def test_a_terminal_is_spared_columns_without_a_value() -> None:
    stream = Terminal()
    Screen(stream).table(("NAME", "DRIFT", "STATE"), [("a", None, "live"), ("b", "", "failed")])
    assert "DRIFT" not in _shown(stream)
    assert "STATE" in _shown(stream)


def test_a_tree_in_a_pipe_is_drawn_with_lines() -> None:
    stream = io.StringIO()
    Screen(stream).tree(Branch("a", (Branch("b", (Branch("c"),)), Branch("d\x1b"))))
    assert _shown(stream).splitlines() == ["a", "├─ b", "│  └─ c", "└─ d\\x1b"]


@pytest.mark.parametrize("show", ["table", "tree", "line", "block", "fields", "diff", "heading"])
@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_nothing_that_was_pushed_reaches_the_terminal_as_it_is(
    show: str, kind: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = kind()
    screen = Screen(stream)
    text = f"{EVIL}\x1b]0;title\x07"
    {
        "table": lambda: screen.table(("A",), [(text,)]),
        "tree": lambda: screen.tree(Branch(text, (Branch(text),))),
        "line": lambda: screen.line(text),
        "block": lambda: screen.block(text),
        "fields": lambda: screen.fields([("name", text)]),
        "diff": lambda: screen.diff(f"+{text}\n"),
        "heading": lambda: screen.heading(text),
    }[show]()
    shown = re.sub("\x1b\\[[0-9;]*m", "", _shown(stream)) if show in {"table", "tree"} else _shown(stream)
    assert not CONTROLS.search(shown)
    assert "[bold]x[/]" in shown


def test_colours_are_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    def coloured() -> bool:
        stream = Terminal()
        screen = Screen(stream)
        screen.diff("-old\n+new\n")
        screen.line("x", "green")
        return "\x1b[" in _shown(stream)

    monkeypatch.setenv("TERM", "xterm")
    assert coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured()


def _on_a_terminal(*args: str, **env: str) -> str:
    """Run gitreg with a terminal for its output, and give what the terminal was sent."""
    master, slave = pty.openpty()
    full = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **env}
    with subprocess.Popen([sys.executable, "-m", "gitreg", *args], stdout=slave, env=full) as process:
        os.close(slave)
        sent = b""
        try:
            while data := os.read(master, 4096):
                sent += data
        except OSError:
            pass  # the other side is closed
        finally:
            os.close(master)
        assert process.wait(timeout=60) == 0
    return sent.decode()


def test_a_terminal_gets_a_table_of_rich_in_colours(registry: Path) -> None:
    shown = _on_a_terminal("status")
    assert "\x1b[32mlive" in shown
    assert "━" in shown or "─" in shown


def test_no_color_keeps_the_table_and_leaves_the_colours_out(registry: Path) -> None:
    shown = _on_a_terminal("status", NO_COLOR="1")
    assert "─" in shown or "━" in shown
    assert "\x1b[3" not in shown


def test_a_terminal_gets_the_tree_of_rich(registry: Path) -> None:
    assert "└── " in _on_a_terminal("lineage", "risk/fraud@1.1.0")
