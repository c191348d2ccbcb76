"""Metrics and lineage as pictures."""

from __future__ import annotations

import os
import re
import sys
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gitreg.charts import lineage as graphs
from gitreg.charts.metrics import in_terminal, write_chart
from gitreg.errors import InvalidError, UnavailableError
from gitreg.names import ModelName
from gitreg.registry import LineageNode, Series

if TYPE_CHECKING:
    from pathlib import Path

SERIES = Series(
    model=ModelName("risk", "fraud"),
    versions=("1.0.0", "1.1.0", "2.0.0-rc.1"),
    created=("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"),
    metrics={"auc": (0.9, None, 0.95), "<script>loss": (1.0, 0.5, 0.25)},
)


def words(drawing: str) -> set[str]:
    return {unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawing)}


def node(name: str, *parents: LineageNode, relation: str | None = None, state: str | None = None) -> LineageNode:
    return LineageNode(name=name, relation=relation, state=state, parents=parents)


BASE = node("hf://org/model@main", relation="base", state="outside the registry")
ENCODER = node("risk/encoder@1.0.0", BASE, relation="finetuned-from")
REPEATED = node("risk/encoder@1.0.0", relation="finetuned-from", state="its parents are shown above")
ROOT = node("risk/fraud@2.0.0", ENCODER, node("risk/fraud@1.0.0", REPEATED, relation="distilled-from", state="yanked"))


def test_the_terminal_shows_each_metric_and_names_the_versions() -> None:
    lines = in_terminal(SERIES, 80).splitlines()

    axes = [line for line in lines if "1.0.0" in line]
    assert len(axes) == 2
    assert all(line.split() == ["1.0.0", "1.1.0", "2.0.0-rc.1"] for line in axes)
    assert max(map(len, lines)) <= 80
    marks = [line.count("o") for line in lines if "|" in line and "version" not in line]
    assert sum(marks) == 2 + 3


@pytest.mark.parametrize("width", [10, 40, 200])
def test_versions_do_not_run_into_each_other(width: int) -> None:
    names = tuple(f"{number}.0.0" for number in range(60))
    series = Series(
        model=SERIES.model, versions=names, created=("",) * 60, metrics={"auc": tuple(map(float, range(60)))}
    )

    shown = in_terminal(series, width).splitlines()[-1].split()

    assert set(shown) <= set(names)
    assert (shown[0], shown[-1]) == ("0.0.0", "59.0.0")


@pytest.mark.parametrize("values", [(5.0,), (0.0,), (0.5, 0.5), (-1e300, 1e300)])
def test_any_values_can_be_drawn(values: tuple[float, ...], tmp_path: Path) -> None:
    names = tuple(f"{number}.0.0" for number in range(len(values)))
    series = Series(model=SERIES.model, versions=names, created=names, metrics={"x": values})

    assert "o" in in_terminal(series, 60)
    write_chart(series, tmp_path / "x.svg")


def test_an_svg_holds_its_words_and_is_the_same_again(tmp_path: Path) -> None:
    write_chart(SERIES, tmp_path / "a.svg")
    write_chart(SERIES, tmp_path / "b.SVG")

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.SVG").read_bytes()
    assert {"risk/fraud", "auc", "<script>loss", "1.1.0", "2.0.0-rc.1"} <= words((tmp_path / "a.svg").read_text())


def test_a_page_holds_the_chart_and_the_numbers(tmp_path: Path) -> None:
    write_chart(SERIES, tmp_path / "a.html")

    page = (tmp_path / "a.html").read_text()
    assert "<svg" in page
    row = '<td>1.1.0</td><td>2026-01-02T00:00:00Z</td><td class="number"></td><td class="number">0.5</td>'
    assert row in page
    assert is_harmless(page)


def test_a_png_is_one_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_chart(SERIES, tmp_path / "a.png")

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert os.listdir(tmp_path) == ["a.png"]  # noqa: PTH208 - names


def test_other_endings_and_folders_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"'a\.jpg'"):
        write_chart(SERIES, tmp_path / "a.jpg")
    with pytest.raises(UnavailableError, match="No such file"):
        write_chart(SERIES, tmp_path / "no" / "a.svg")


def test_without_the_extra_one_is_told_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "plotille", None)

    with pytest.raises(UnavailableError, match="plotille") as terminal:
        in_terminal(SERIES, 80)
    with pytest.raises(UnavailableError, match="matplotlib") as file:
        write_chart(SERIES, tmp_path / "a.png")
    assert terminal.value.hint == file.value.hint == "pip install 'gitreg[plot]'"


def test_a_graph_has_each_version_once() -> None:
    graph = graphs.graph_of(ROOT)

    assert graph.nodes == {
        "risk/fraud@2.0.0": "",
        "risk/encoder@1.0.0": "",
        "risk/fraud@1.0.0": "yanked",
        "hf://org/model@main": "outside the registry",
    }
    assert set(graph.edges) == {
        ("risk/encoder@1.0.0", "risk/fraud@2.0.0"),
        ("risk/fraud@1.0.0", "risk/fraud@2.0.0"),
        ("hf://org/model@main", "risk/encoder@1.0.0"),
        ("risk/encoder@1.0.0", "risk/fraud@1.0.0"),
    }


def test_dot_and_mermaid_quote_what_would_be_read_as_more_than_text() -> None:
    evil = node("risk/x@1.0.0", node('hf://a"]; <b>&\\', relation='"|x'))

    dot, mermaid = graphs.as_dot(evil), graphs.as_mermaid(evil)

    assert '"hf://a\\"]; <b>&\\\\" -> "risk/x@1.0.0" [label="\\"|x"];' in dot
    assert 'v1["hf://a#34;#93;#59; #60;b#62;#38;#92;"]' in mermaid
    assert 'v1 -->|"#34;#124;x"| v0' in mermaid


def test_a_drawing_names_every_version_and_relation() -> None:
    shown = {"risk/fraud", "@2.0.0", "risk/encoder", "yanked", "outside the registry", "distilled-from"}

    assert shown <= words(graphs.as_svg(ROOT))


def test_edges_that_skip_columns_go_around_what_stands_there() -> None:
    routes, columns = graphs.laid_out(graphs.graph_of(ROOT))

    assert [len(column) for column in columns] == [1, 1, 2, 1]
    assert [stop.child for stop in columns[-1]] == ["risk/fraud@2.0.0"]
    assert all(later.column == one.column + 1 for route in routes for one, later in pairwise(route))


def test_a_page_of_lineage_draws_it_and_lists_it() -> None:
    evil = node("risk/x@1.0.0", node("hf://<script src=//x>", relation="<img onerror=x>", state='"><b>'))

    page = graphs.as_html(evil)

    assert "risk/x" in words(page)
    assert "<td>risk/x@1.0.0</td><td>&lt;img onerror=x&gt;</td><td>hf://&lt;script src=//x&gt;</td>" in page
    assert is_harmless(page)
    assert "<table>" not in graphs.as_html(node("risk/x@1.0.0"))


def is_harmless(page: str) -> bool:
    """Whether a page runs nothing, loads nothing, and has nothing in it that somebody else wrote as markup."""
    markup = re.sub(r">[^<]*<", "><", re.sub(r"<!--.*?-->", "", page))
    addresses = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]*)", markup)
    return (
        "default-src 'none'" in page
        and not re.search(r"<(?:script|img|b|iframe|link|object)\b|\son\w+=", markup)
        and all(address.startswith("#") for address in addresses)
    )


def test_a_drawing_takes_dollars_as_they_are() -> None:
    assert "$x$" in graphs.as_svg(node("risk/a@1.0.0", node("hf://$x$", relation="base")))
