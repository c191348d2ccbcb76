"""What the pages show, asked without a browser."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from tests.pages.conftest import MANY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pages.served import Visitor

    Visit = Callable[[str], Visitor]

MODEL = "/ui/models/vision/digit-reader"


def test_the_list_of_models_says_what_runs_where(visitor: Visit) -> None:
    text = visitor("alice").text("/ui/models", project="vision")
    assert "vision/ digit-reader" in text
    assert "latest 1.2.0" in text
    assert "prod 1.1.0 10% 1.2.0" in text


def test_a_long_list_goes_on_page_by_page_and_misses_nothing(visitor: Visit) -> None:
    seen: list[str] = []
    following: str | None = "/ui/models?project=many"
    while following:
        page = visitor("alice").get(following).text
        seen += [part.partition('"')[0] for part in page.split('<h2><a href="/ui/models/')[1:]]
        after = page.partition('rel="next"')[0].rpartition('href="')[2]
        following = after.replace("&amp;", "&").rstrip('" ') if 'rel="next"' in page else None
    assert seen == [f"many/m{number:02}" for number in range(MANY)]


def test_words_find_models_by_name_description_and_card(visitor: Visit) -> None:
    for words in ("digit-read", "handwritten", "mail room"):
        text = visitor("alice").text("/ui/models", q=words)
        assert "digit-reader" in text
        assert "wine-cultivar" not in text
    assert "No model fits" in visitor("alice").text("/ui/models", q="no such words")


@pytest.mark.parametrize("words", ['"', "%", "a' OR 1", "NEAR(", "*", "-", "\\", "(((", "\u0000x"])
def test_words_that_are_no_words_find_nothing_and_break_nothing(visitor: Visit, words: str) -> None:
    assert visitor("alice").get("/ui/models", q=words).status_code == 200
    assert visitor("alice").get("/ui/search", q=words).status_code in {200, 422}


def test_conditions_find_versions(visitor: Visit) -> None:
    text = visitor("alice").text("/ui/search", q="metrics.accuracy > 0.97 and model = vision/digit-reader")
    assert "vision/digit-reader 1.1.0" in text
    assert "1.2.0" not in text.partition("What one can ask")[0].partition("Author")[2]


def test_a_wrong_condition_is_shown_with_the_place_of_the_mistake(visitor: Visit) -> None:
    answer = visitor("alice").get("/ui/search", q="metrics.accuracy >> 0.9")
    assert answer.status_code == 422
    line, caret = answer.text.partition('class="pointed">')[2].partition("</pre>")[0].splitlines()
    assert line.replace("&gt;", ">")[caret.index("^")] == ">"
    assert 'aria-describedby="mistake"' in answer.text


def test_a_search_goes_on_page_by_page(visitor: Visit) -> None:
    seen, cursor = 0, ""
    while True:
        page = visitor("alice").get("/ui/search", q="model = many/m00", cursor=cursor).text
        seen += page.count('<th scope="row">')
        if 'rel="next"' not in page:
            break
        cursor = page.partition('rel="next"')[0].rpartition("cursor=")[2].rstrip('" ')
    assert seen == MANY


def test_a_model_shows_its_card_its_aliases_and_facts(visitor: Visit) -> None:
    text = visitor("alice").text(MODEL)
    for each in ("Intended use", "champion 1.1.0", "challenger 1.2.0", "image-classification", "Owners alice"):
        assert each in text


def test_headings_of_a_card_stand_below_that_of_the_page(visitor: Visit) -> None:
    page = visitor("alice").get(MODEL).text
    assert page.count("<h1") == 1
    assert "<h2>vision/digit-reader</h2>" in page


def test_a_version_shows_everything_that_its_manifest_says(visitor: Visit) -> None:
    text = visitor("alice").text(f"{MODEL}/versions/1.1.0")
    for each in (
        "accuracy 0.9756",
        "model.safetensors safetensors",
        "14.5 KiB",
        "input pixels float32 ? \N{MULTIPLICATION SIGN} 64",
        "scikit-learn 1.9.1",
        "hidden_units 48",
        "test shifted by one pixel",
        "retrained-from",
        "What came from it vision/digit-reader@1.2.0",
        "gitreg pull vision/digit-reader@1.1.0",
    ):
        assert each in text


def test_a_data_set_leads_to_the_versions_that_name_it(visitor: Visit) -> None:
    page = visitor("alice").get("/ui/models/lab/hostile/versions/1.0.0").text
    [link] = re.findall(r'href="(/ui/search[^"]*dataset[^"]*)"', page)
    found = visitor("alice").text(unescape(link))
    assert "lab/hostile 1.1.0" in found
    assert "lab/hostile 1.0.0" in found


def test_the_lineage_graph_links_to_the_versions_it_shows(visitor: Visit) -> None:
    page = visitor("alice").get(f"{MODEL}/versions/1.2.0").text
    graph = page.partition("<svg width")[2].partition("</svg>")[0]
    assert graph.count('class="box') == 3
    assert 'href="/ui/models/vision/digit-reader/versions/1.0.0"' in graph
    assert "finetuned-from" in graph


def test_selectors_name_versions_in_addresses_too(visitor: Visit) -> None:
    assert "digit-reader 1.1.0" in visitor("alice").text(f"{MODEL}/versions/champion")
    assert visitor("alice").get(f"{MODEL}/versions/9.9.9").status_code == 404
    assert visitor("alice").get(f"{MODEL}/versions/%F0%9F%92%A3").status_code in {404, 422}


def test_a_diff_shows_metrics_with_their_change_and_what_differs(visitor: Visit) -> None:
    text = visitor("alice").text(f"{MODEL}/diff", **{"from": "1.0.0", "to": "1.1.0"})
    for each in (
        "accuracy 0.9689 0.9756 +0.0067",
        "hidden_units not there 48",
        "recipe logistic regression perceptron",
    ):
        assert each in text


def test_a_diff_goes_across_models_and_by_alias(visitor: Visit) -> None:
    query = {"from": "champion", "to": "cellar/wine-cultivar@1.0.0"}
    text = visitor("alice").text(f"{MODEL}/diff", **query)
    assert "vision/digit-reader@1.1.0 → cellar/wine-cultivar@1.0.0" in text


def test_metrics_are_drawn_and_stand_in_a_table(visitor: Visit) -> None:
    page = visitor("alice").get(f"{MODEL}/metrics").text
    assert page.count('class="line"') == 3
    assert 'aria-label="accuracy over 3 versions: between 0.9622 and 0.9756, last 0.9622"' in page
    table = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert table.count("<tr>") == 3
    assert visitor("alice").get(f"{MODEL}/metrics", metric="speed").status_code == 404


def test_the_board_shows_canaries_drift_and_what_waits(visitor: Visit) -> None:
    text = visitor("alice").text("/ui/environments")
    assert "canary 10% 1.2.0" in text
    assert "Drift. lab/hostile in staging: 1.1.0 failed" in text
    assert "2.0.0 rejected" in text


def test_a_rollback_is_offered_where_there_is_something_to_go_back_to(visitor: Visit) -> None:
    board = visitor("carol").get("/ui/environments").text
    offered = set(re.findall(r"rollback\?model=([a-z%0-9A-Z-]+)&amp;environment=([a-z]+)", board))
    assert ("vision%2Fdigit-reader", "prod") in offered
    assert ("cellar%2Fwine-cultivar", "prod") not in offered, "its last change was one itself"
    assert ("lab%2Fhostile", "staging") not in offered, "it had one deployment only"


def test_the_timeline_can_be_narrowed(visitor: Visit) -> None:
    text = visitor("alice").text("/ui/deployments", environment="prod", model="cellar/wine-cultivar")
    assert "rollback cellar/wine-cultivar 1.0.0 prod was 1.1.0 The north cellar measures four features only." in text
    assert "digit-reader" not in text
    assert visitor("alice").get("/ui/deployments", environment="moon").status_code == 404


def test_the_deployments_of_a_model_have_numbers_and_reasons(visitor: Visit) -> None:
    text = visitor("alice").text("/ui/models/cellar/wine-cultivar/deployments", environment="prod")
    assert "prod 3 rollback 1.0.0 1.1.0" in text


def test_what_does_not_exist_leads_to_what_does(visitor: Visit) -> None:
    answer = visitor("alice").get("/ui/models/vision/digit-reder")
    assert answer.status_code == 404
    assert '<a href="/ui/models/vision/digit-reader">' in answer.text
    assert visitor("alice").get("/ui/no/such/page").status_code == 404


@pytest.mark.parametrize(
    "path", ["/ui/models/..%2f..%2fetc/passwd", "/ui/models/a/b%00", "/ui/models/A/B", "/ui/static/../app.py"]
)
def test_tricks_with_paths_find_nothing(visitor: Visit, path: str) -> None:
    assert visitor("alice").get(path).status_code == (400 if "%00" in path else 404)


@pytest.mark.parametrize(
    "path",
    [
        "/ui/models?after=%ff&project=%00",
        "/ui/search?q=a%3D1&cursor=x",
        "/ui/search?q=a%3D1&order=%00",
        "/ui/deployments?before=99999999999999999999999",
        "/ui/deployments?before=-1&model=x",
        "/ui/environments?after=%f0%9f%92%a3",
        f"{MODEL}/versions?cursor=!!",
        f"{MODEL}/versions?lifecycle=x",
        f"{MODEL}/diff?from=%00&to=@",
        f"{MODEL}/deployments?environment=moon",
        "/ui/actions/deploy?model=x&version=y&environment=z",
        "/ui/actions/deploy?model=vision/digit-reader&version=1.0.0&environment=prod&canary=1.1.0&percent=ten",
        "/ui/actions/explode",
        "/ui/search?q=" + "a" * 3000 + "=1",
        "/ui/search?q=" + "(" * 1500 + "=",
        "/ui/audit?before=x&since=y",
    ],
)
def test_nonsense_in_a_query_is_refused_in_words(visitor: Visit, path: str) -> None:
    answer = visitor("root").get(path)
    assert answer.status_code in {200, 404, 409, 422}
    assert "<h1>" in answer.text
