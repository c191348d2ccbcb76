"""Parts of the pages by themselves: cards, drawings, numbers, the newest of the audit log."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from typing import TYPE_CHECKING

import click
import pytest

from gitreg.cli.group import gitreg
from gitreg.errors import IntegrityError, NotFoundError
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.audit import recent as recent_module
from gitreg.gate_hooks.audit.export import Wanted
from gitreg.gate_hooks.audit.recent import recent
from gitreg.index import schema
from gitreg.names import ModelName
from gitreg.registry.results import LineageNode
from gitreg.server.pages import graphs, listing, rendering
from gitreg.server.pages.cards import MOST, rendered
from gitreg.server.pages.listing import Measured

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = rendering.HERE / "templates"

# Cards


@pytest.mark.parametrize(
    "text",
    [
        "<script>x</script>",
        "<SCRIPT SRC=//example.org/x.js></SCRIPT>",
        '<img src=x onerror="x">',
        "<svg><script>x</script></svg>",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=x>",
        "[a](javascript:x)",
        "[a](JaVaScRiPt:x)",
        "[a](&#106;avascript:x)",
        "[a](data:text/html,x)",
        "[a](/ui/sign-out)",
        "[a](//example.org)",
        "[a](\\\\example.org)",
        "<a href='\tjava\nscript:x'>a</a>",
        "![a](https://example.org/spy.png)",
        "<p style='position:fixed'>a</p>",
        "<p id=main class=top>a</p>",
        "<form><input name=token></form>",
        "<base href=//example.org>",
        "<meta http-equiv=refresh content=0>",
        "<iframe src=//example.org></iframe>",
        "<noscript><p title='</noscript><img src=x onerror=x>'>",
        "```html\n<script>x</script>\n```",
        "<!--><script>x</script>-->",
    ],
)
def test_nothing_dangerous_is_left_of_a_card(text: str) -> None:
    html = rendered(text).html.lower()
    for each in (
        "<script",
        "<img",
        "<svg",
        "<style",
        "<form",
        "<input",
        "<base",
        "<meta",
        "<iframe",
        "onerror=",
        " style=",
    ):
        assert each not in html.replace("&lt;", "")
    for each in (" id=", " class=", 'href="javascript', 'href="data', 'href="/', 'href="\\'):
        assert each not in html


def test_what_is_harmless_in_a_card_stays() -> None:
    html = rendered("# Title\n\nSome **bold** [link](https://example.org).\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n").html
    assert "<h2>Title</h2>" in html
    assert "<strong>bold</strong>" in html
    assert '<a href="https://example.org" rel="noopener noreferrer nofollow ugc">link</a>' in html
    assert "<td>1</td>" in html


def test_a_picture_becomes_a_link() -> None:
    assert ">a chart</a>" in rendered("![a chart](https://example.org/x.png)").html


def test_a_long_card_is_cut_and_says_so() -> None:
    card = rendered("word " * MOST)
    assert card.is_cut
    assert len(card.html) < 2 * MOST


@pytest.mark.parametrize(
    "piece", ["[", "*a", "> ", "`", "<a ", "- ", "![", "_x_ ", "\\", "&amp", "|a", "((", "[a]: b\n"]
)
def test_a_card_made_to_be_slow_is_rendered(piece: str) -> None:
    assert rendered(piece * (MOST // len(piece))).html is not None


# Drawings


def test_a_line_breaks_where_a_version_lacks_the_metric() -> None:
    line = graphs.line_of(Measured("auc", (0.5, 0.7, None, 0.9, None, 0.6)))
    assert len(line.pieces) == 1
    assert len(line.points) == 4
    assert (line.low, line.high, line.last) == (0.5, 0.9, 0.6)


def test_a_metric_that_never_changes_is_a_line_in_the_middle() -> None:
    line = graphs.line_of(Measured("auc", (1.0, 1.0)))
    assert {y for _, y in line.points} == {graphs.HEIGHT / 2}


def _node(name: str, *parents: LineageNode, relation: str | None = "finetuned-from") -> LineageNode:
    return LineageNode(name=name, relation=relation, state=None, parents=parents)


def test_ancestors_of_what_one_may_not_read_are_cut() -> None:
    tree = _node("a/b@2.0.0", _node("x/secret@1.0.0", _node("a/b@1.0.0")), _node("hf://a/b", relation="base"))
    cut = graphs.pruned(tree, lambda name: name.project != "x")
    assert cut.parents[0].parents == ()
    assert cut.parents[0].state == "you may not read it"
    drawing = graphs.drawing_of(cut)
    assert drawing is not None
    hrefs = {box.title: box.href for box in drawing.boxes}
    assert hrefs == {"a/b@2.0.0": "/ui/models/a/b/versions/2.0.0", "x/secret@1.0.0": None, "hf://a/b": None}


def test_a_family_too_large_to_look_at_is_not_drawn() -> None:
    parents = [_node(f"a/b@1.{number}.0") for number in range(graphs.MOST_BOXES)]
    assert graphs.drawing_of(_node("a/b@2.0.0", *parents)) is None


# Words


def test_values_are_written_for_people() -> None:
    artifact = {"path": "x.onnx", "digest": f"sha256:{'ab' * 32}", "size": 2048}
    assert rendering.value_text(artifact) == "path x.onnx, digest abababababab, size 2.0 KiB"
    assert rendering.value_text([True, None, 0.1, {"a": 1}]) == "yes; ; 0.1; a 1"
    assert rendering.shape([None, -1, 3]) == "? × ? × 3"  # noqa: RUF001 - a times sign is meant
    assert rendering.shape([]) == "scalar"


def test_addresses_of_versions_hold_nothing_that_ends_them() -> None:
    assert rendering.version_url(ModelName.parse("a/b"), "1.0.0-rc.1/../x?y#z") == (
        "/ui/models/a/b/versions/1.0.0-rc.1%2F..%2Fx%3Fy%23z"
    )


def _typed() -> list[str]:
    """Find the commands that the pages tell to type."""
    said = [re.findall(r"<code>gitreg ([^<…]+)</code>", path.read_text("utf-8")) for path in TEMPLATES.glob("*.html")]
    return sorted({re.sub(r"\{\{.*?\}\}", "X", each) for found in said for each in found})


@pytest.mark.parametrize("command", _typed())
def test_commands_that_the_pages_name_have_these_options(command: str) -> None:
    words, context = command.split(), click.Context(gitreg)
    while isinstance(context.command, click.Group):
        _, found, words = context.command.resolve_command(context, words)
        assert found is not None
        context = click.Context(found, parent=context)
    context.command.parse_args(context, words)


def test_the_page_to_sign_in_names_a_command() -> None:
    assert "server token create YOU" in _typed()


# Approvals


def test_what_waits_for_somebody_is_found_behind_all_that_they_may_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_PENDING", 2)
    names = [ModelName.parse(f"{project}/{number}") for project in "abc" for number in range(5)]
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema.TABLES)
        connection.executescript(schema.INDEXES)
        for number, name in enumerate(names):
            connection.execute(
                "INSERT INTO deployments (position, environment, model, version, oid, time, since) "
                "VALUES (?, 'staging', ?, '1.0.0', '', ?, 0)",
                (number, str(name), -number),
            )
        kinds = (lambda name: name.project == "c", lambda name: name.project != "a")
        found = listing.candidates(connection, kinds, "prod", "staging")
    assert [str(name) for name, _ in found] == ["b/0", "b/1", "c/0", "c/1"]


# The newest of the audit log


def _log(git_dir: Path, count: int) -> None:
    git_dir.mkdir()
    time = "2026-01-01T00:00:00Z"
    audit.begin(git_dir, audit.Entry(time, "root", (), (), source={"identity": audit.INIT}))
    audit.append_all(git_dir, [audit.Entry(time, f"user{number % 2}", (), ()) for number in range(2, count + 1)])


def test_the_newest_decisions_come_page_by_page(tmp_path: Path) -> None:
    _log(tmp_path / "r.git", 10)
    seen: list[int] = []
    before: int | None = None
    while True:
        found, before = recent(tmp_path / "r.git", Wanted(), limit=3, before=before)
        seen += [each["seq"] for each in found]
        if before is None:
            break
    assert seen == list(range(10, 0, -1))


def test_a_page_looks_through_a_bounded_part_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _log(tmp_path / "r.git", 50)
    monkeypatch.setattr(recent_module, "MOST_READ", 1000)
    found, before = recent(tmp_path / "r.git", Wanted(actor="root"), limit=3)
    assert found == []
    while before is not None and not found:
        found, before = recent(tmp_path / "r.git", Wanted(actor="root"), limit=3, before=before)
    assert [each["seq"] for each in found] == [1]


def test_half_a_line_at_the_end_is_no_entry_yet(tmp_path: Path) -> None:
    _log(tmp_path / "r.git", 3)
    with audit.audit_path(tmp_path / "r.git").open("ab") as file:
        file.write(b'{"seq":4')
    found, _ = recent(tmp_path / "r.git", Wanted(), limit=9)
    assert [each["seq"] for each in found] == [3, 2, 1]


def test_damage_in_the_log_is_said(tmp_path: Path) -> None:
    _log(tmp_path / "r.git", 3)
    with audit.audit_path(tmp_path / "r.git").open("ab") as file:
        file.write(b"no entry\n")
    with pytest.raises(IntegrityError, match="is no entry"):
        recent(tmp_path / "r.git", Wanted(), limit=9)


def test_a_registry_without_a_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no audit log"):
        recent(tmp_path, Wanted(), limit=9)
