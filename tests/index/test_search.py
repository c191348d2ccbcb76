from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.git import Repository
from gitreg.index import pages
from gitreg.reader import Snapshot
from gitreg.registry.search import explain
from tests.index.conftest import MODELS, START, VERSIONS, Facts, Made, finder, names, pointer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.registry.search import Found
    from tests.index.conftest import Writer

    Find = Callable[..., Found]


def expected(made: Made, holds: Callable[[Facts], bool]) -> list[str]:
    found = sorted((each for each in made.facts if holds(each)), key=lambda each: (each.model, -each.rank))
    return [f"{each.model}@{each.version}" for each in found]


ORDER_BYS = [None, "license, size desc", "hyperparameters.epochs", "version"]
# These are walked through by an index, where all that is found has a value.
ORDER_BYS += ["metrics.auc desc", "metrics.auc, created desc", "created", "created desc, metrics.auc"]


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("order", ORDER_BYS)
@pytest.mark.parametrize(
    "condition", ["size > 2000", "metrics.auc > 0.1 and not license = MIT", "text('ledger toxic')"]
)
def test_pages_together_are_the_whole_answer_each_version_once(find: Find, order: str | None, condition: str) -> None:
    whole = names(find(condition, order_by=order))
    for size in (4, 7):
        together, cursor = list[str](), None
        while True:
            found = find(condition, order_by=order, limit=size, cursor=cursor)
            together += names(found)
            cursor = found.next
            if cursor is None:
                break
        assert together == whole


@pytest.mark.parametrize(
    ("conditions", "order", "index"),
    [
        (["metrics.auc > 0", "size > 0"], "metrics.auc desc", "metrics_value"),
        (["size > 0 and metrics.auc is not null"], "metrics.auc", "metrics_value"),
        (["size > 0 and metrics.auc >= 0.2 or size > 3"], "metrics.auc", None),
        (["metrics.f1.macro > 0"], "metrics.auc", None),
        (["size > 0"], "created desc", "manifests_created"),
    ],
)
def test_what_is_not_rare_is_walked_through_in_its_order(
    made: Made, monkeypatch: pytest.MonkeyPatch, conditions: list[str], order: str, index: str | None
) -> None:
    monkeypatch.setattr(pages, "_FEW", 1)
    monkeypatch.setattr(pages, "_MANY", 1)
    with Repository.open(made.folder) as repository:
        query = pages.Query(conditions=tuple(conditions), order_by=order, limit=3)
        told = explain(Snapshot(repository, made.tips[-1]), query, now=True).plan
    plan = [step.replace("COVERING ", "").replace("INDEX ", "") for step in told]
    walked = [
        name for name in ("metrics_value", "manifests_created") for step in plan[:2] if f" x USING {name}" in step
    ]
    assert walked == ([index] if index else [])


def test_an_order_puts_what_has_no_value_last_either_way(made: Made, find: Find) -> None:
    for way, sign in (("asc", 1), ("desc", -1)):
        found = find("created > 2000", order_by=f"metrics.auc {way}")
        values = [row.metrics.get("auc") for row in found]
        known = [value for value in values if value is not None]
        assert known == sorted(known, key=lambda value: sign * value)
        assert values[len(known) :] == [None] * (len(made.facts) - len(known))


def test_a_cursor_stays_right_while_the_registry_grows(writer: Writer, made: Made) -> None:
    files = {f"models/risk/fraud/{n}.0.0.yaml": _manifest(n) for n in range(1, 6)}
    writer.commit(START, {"registry.yaml": SETTINGS_TEXT, **files})
    find = finder(writer.folder)
    first = find("size > 0", limit=2)
    assert names(first) == ["risk/fraud@5.0.0", "risk/fraud@4.0.0"]
    writer.commit(START + 1, {f"models/risk/fraud/{n}.yaml": _manifest(9, n) for n in ("9.0.0", "3.5.0")})
    rest = find("size > 0", limit=9, cursor=first.next)
    assert names(rest) == [f"risk/fraud@{n}" for n in ("3.5.0", "3.0.0", "2.0.0", "1.0.0")]


SETTINGS_TEXT = "api_version: gitreg/v1\nkind: Registry\nname: a\nstore: file:../s\nenvironments: [{name: prod}]\n"


def _manifest(number: int, version: str | None = None, more: str = "") -> str:
    return (
        f"api_version: gitreg/v1\nkind: ModelVersion\nmodel: risk/fraud\nversion: {version or f'{number}.0.0'}\n"
        "created: 2026-01-01T00:00:00Z\nauthor: {name: A, email: a@example.org}\n"
        f"artifacts: [{{path: a, digest: 'sha256:{number:064x}', size: 1}}]\n{more}"
    )


def test_a_cursor_of_another_search_or_none_is_refused(find: Find) -> None:
    cursor = find("size > 0", limit=1).next
    for wrong in (cursor, "x", "e30", "W10", "A" * 10_000, "é"):
        with pytest.raises(InvalidError, match="cursor"):
            find("size > 1", limit=1, cursor=wrong)


def test_what_ran_at_a_time_is_one_question(find: Find) -> None:
    def at(day: int) -> list[str]:
        return names(find(f"deployed('prod', at '2023-11-{14 + day}')"))

    assert at(0) == []
    assert at(1) == ["risk/fraud@1.0.0"]
    assert at(2) == ["risk/fraud@1.0.0", "vision/ocr@2.0.0", "vision/ocr@0.9.0"]
    assert at(3) == ["risk/fraud@2.0.0", "vision/ocr@2.0.0", "vision/ocr@0.9.0"]


def test_a_search_in_the_past_sees_what_was_there_and_leaves_the_index(made: Made, find: Find) -> None:
    assert names(find("deployed('prod')")) == ["risk/fraud@2.0.0", "vision/ocr@2.0.0", "vision/ocr@0.9.0"]
    assert names(find("deployed('prod')", at=made.tips[1])) == ["risk/fraud@1.0.0"]
    assert names(find("deployed('prod')", at=made.tips[0])) == []
    assert len(find("deployed('prod')")) == 3


def test_a_deployment_that_was_taken_back_is_over(writer: Writer) -> None:
    path = "deployments/prod/risk/fraud.yaml"
    files = {"registry.yaml": SETTINGS_TEXT, "models/risk/fraud/1.0.0.yaml": _manifest(1)}
    writer.commit(START, {**files, path: pointer("prod", "risk/fraud", "1.0.0")})
    find = finder(writer.folder)
    assert len(find("deployed('prod')")) == 1
    writer.commit(START + 86_400, {path: None})
    assert len(find("deployed('prod')")) == 0
    assert len(find("deployed('prod', at '2023-11-14')")) == 1


def test_a_clock_that_went_backwards_is_read_as_history_reads_it(writer: Writer) -> None:
    path = "deployments/prod/risk/fraud.yaml"
    files = {"registry.yaml": SETTINGS_TEXT, "models/risk/fraud/1.0.0.yaml": _manifest(1)}
    writer.commit(START, files)
    writer.commit(START + 10 * 86_400, {path: pointer("prod", "risk/fraud", "1.0.0")})
    find = finder(writer.folder)
    assert len(find("deployed('prod', at '2023-11-16')")) == 0
    writer.commit(START + 86_400, {"README.md": "The newest commit of that day is this one.\n"})
    assert len(find("deployed('prod', at '2023-11-16')")) == 1


def test_text_looks_into_names_descriptions_and_cards(find: Find) -> None:
    assert {name.partition("@")[0] for name in names(find("text('finnish insults')"))} == {"text/toxic"}
    assert {name.partition("@")[0] for name in names(find("text('churn')"))} == {"risk/churn"}
    assert len(find("text('größe')")) > 0
    for odd in ('"', "a AND OR", "NEAR(", "*", "a:b", "-x", "^", "'"):
        quoted = odd.replace("'", "''")
        try:
            find(f"text('{quoted}')")
        except InvalidError as error:
            assert "no words" in str(error)  # noqa: PT017 - either is right


def test_ancestors_and_descendants_are_followed_to_the_end_and_circles_end(writer: Writer) -> None:
    def child(number: int, parent: int) -> str:
        relation = f"parents: [{{model: risk/fraud, version: {parent}.0.0, relation: finetuned-from}}]\n"
        return _manifest(number, more=relation)

    texts = {1: child(1, 4), 2: child(2, 1), 3: child(3, 2), 4: child(4, 3), 5: _manifest(5)}
    files = {f"models/risk/fraud/{n}.0.0.yaml": text for n, text in texts.items()}
    writer.commit(START, {"registry.yaml": SETTINGS_TEXT, **files})
    find = finder(writer.folder)
    others = [f"risk/fraud@{n}.0.0" for n in (4, 3, 1)]
    assert names(find("descends_from('risk/fraud@2.0.0')")) == others
    assert names(find("ancestor_of(risk/fraud@2.0.0)")) == others
    assert names(find("parent = risk/fraud@2.0.0")) == ["risk/fraud@3.0.0"]


@pytest.mark.parametrize(
    "odd",
    ["'; DROP TABLE versions; --", "x' OR '1'='1", "\\", "%", "_", '"', "?", ":1", "\x01", "ü" * 100, "*", "[a]"],
)
def test_a_value_is_never_sql(made: Made, find: Find, odd: str) -> None:
    quoted = odd.replace("'", "''")
    for sign in ("=", "like", "ilike"):
        assert find(f"labels.team {sign} '{quoted}'") is not None
        assert find(f"labels.`{odd.replace('`', '')}` {sign} 'x'").versions == ()
    assert names(find(f"labels.team ~ '{quoted}'")) == expected(
        made, lambda each: odd.lower() in each.data["labels"].get("team", "").lower()
    )
    assert len(find("size > 0")) == len(MODELS) * len(VERSIONS)


@pytest.mark.parametrize(
    ("condition", "said", "column"),
    [
        ("metrics.auc > 1 and licence = MIT", "did you mean license", 20),
        ("deployed('prd')", "did you mean prod", 9),
        ("size > 1 and deployed in (prod, prd)", "did you mean prod", 32),
        ("lifecycle != actve", "did you mean active", 13),
        ("format = onnxx", "did you mean onnx", 9),
        ("version = ^1.4", "'\\^1.4' is not a version", 10),
        ("size > 1 and size > 2XB", "'2XB' is not a number", 20),
        ("deploy('prod')", r"did you mean deployed\(…\)", 0),
        ("metrics.auc > 1 metrics.f1 > 2", "expected and, or", 27),
        ("metrics.auc >", "expected a value", 13),
        ("(size > 1", r"expected \)", 9),
        ("size > 1 or created > soon", "'soon' is not a time", 22),
        ("text('x', at '2026')", "takes no time", 0),
        ("descends_from('risk/fraud')", "write project/name@1.4.0", 14),
        ("text('!')", "no words", 5),
        ("size > 1 and deployed('prod', at soon)", "'soon' is not a time.*2026-01-31", 33),
        ("deployed('prod' at '2026-13-01')", "not a time", 19),
        ("evaluations(dataset = x and license = MIT)", "'license' is not part of one.*outside of", 28),
        ("artifacts(size > 1 and deployed('prod'))", "this is not part of one", 23),
        ("evaluations(metrics.auc > 1", r"expected \)", 27),
    ],
)
def test_an_error_points_at_the_column_and_teaches(find: Find, condition: str, said: str, column: int) -> None:
    with pytest.raises(InvalidError, match=f"(?s){said}") as caught:
        find(condition)
    line, caret = str(caught.value.problems[0]).split("\n")
    assert (line, caret.index("^")) == (condition, column)


EVALUATED = """\
evaluations:
  - {dataset: {name: holdout}, split: test, metrics: {auc: 0.7}}
  - {dataset: {name: imdb}, metrics: {auc: 0.95}}
training:
  datasets: [{name: ledger, version: "1"}, {name: imdb, version: "2"}]
"""


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["evaluations.dataset = imdb and evaluations.metrics.auc > 0.9"], True),
        (["evaluations.dataset = holdout and evaluations.metrics.auc > 0.9"], False),
        (["evaluations.dataset = holdout", "size > 0", "evaluations.metrics.auc > 0.9"], False),
        (["(evaluations.dataset = holdout) and (size > 0 and (evaluations.metrics.auc > 0.9))"], False),
        (["(evaluations.dataset = holdout or evaluations.split = dev) and evaluations.metrics.auc > 0.9"], False),
        (["evaluations.metrics.auc > 0.8 and evaluations.metrics.auc < 0.9"], False),
        (["evaluations.metrics.auc > 0.6 and evaluations.metrics.auc < 0.9"], True),
        (["evaluations.dataset = holdout or evaluations.metrics.auc > 0.99"], True),
        (["evaluations.dataset = holdout and evaluations.dataset = imdb"], True),
        (["evaluations(dataset = holdout and metrics.auc > 0.6) and evaluations(dataset = imdb)"], True),
        (["evaluations (dataset = holdout and dataset = imdb)"], False),
        (["evaluations(not dataset = holdout and split is null)"], True),
        (["evaluations(evaluations.split != test and dataset.name = holdout)"], False),
        (["evaluations.dataset != holdout"], False),
        (["dataset = ledger and dataset.version = 2"], False),
        (["training.datasets(name = ledger and version = 1)", "dataset = imdb"], True),
        (["file = a and artifacts.size = 2"], False),
        (["file = a and artifacts.size < 1kB"], True),
    ],
)
def test_what_is_asked_of_a_list_one_entry_has_to_meet(writer: Writer, conditions: list[str], found: bool) -> None:
    files = {"models/risk/fraud/1.0.0.yaml": _manifest(1, more=EVALUATED)}
    writer.commit(START, {"registry.yaml": SETTINGS_TEXT, **files})
    assert names(finder(writer.folder)(*conditions)) == ["risk/fraud@1.0.0"] * found


def test_which_of_two_entries_is_meant_has_to_be_said(find: Find) -> None:
    twice = ["evaluations.dataset = imdb", "evaluations.metrics.auc > 0.9 and evaluations.dataset = holdout"]
    with pytest.raises(InvalidError, match="dataset is asked for twice") as caught:
        find(*twice)
    assert caught.value.hint == "write each as evaluations(dataset = … and …), and join these by and"
    assert caught.value.problems[0].column == twice[1].index("evaluations.dataset") + 1


def test_of_a_long_condition_the_part_around_the_place_is_shown(find: Find) -> None:
    long = " or ".join(["size > 1"] * 90)
    with pytest.raises(InvalidError) as caught:
        find(f"{long} or zzz = 1\x1b[31m or size > 1 or size > 2")
    line, caret = str(caught.value.problems[0]).split("\n")
    assert len(line) < 500
    assert "\x1b" not in line
    assert line[caret.index("^") :].startswith("zzz = 1 [31m or size")


@pytest.mark.parametrize("order", ["", "metrics.auc,", "metrics.auc down", "deployed", "zzz", ",", "a, b, c, d, e, f"])
def test_an_order_that_is_none_is_told_of(find: Find, order: str) -> None:
    with pytest.raises(InvalidError):
        find("size > 0", order_by=order)


def test_an_order_by_what_nothing_has_is_told_of(find: Find) -> None:
    found = find("size > 0", order_by="metrics.acu desc, labels.team", limit=1)
    assert (len(found), found.notes) == (1, ("nothing has metrics.acu; did you mean metrics.auc?",))
    assert find("size > 0", order_by="metrics.auc desc", limit=1).notes == ()


def test_a_search_is_bounded(find: Find) -> None:
    with pytest.raises(InvalidError, match="characters"):
        find("a" * 10_001)
    with pytest.raises(InvalidError, match="zero byte"):
        find("license = 'a\0b'")
    with pytest.raises(InvalidError, match="comparisons"):
        find(" or ".join(["size > 1"] * 101))
    with pytest.raises(InvalidError, match="nested"):
        find("not " * 60 + "size > 1")
    with pytest.raises(InvalidError, match="101 conditions"):
        find(*["size > 1"] * 101)
    with pytest.raises(InvalidError, match="together"):
        find(*["license = '" + "x" * 2_000 + "'"] * 6)
    with pytest.raises(InvalidError, match="--limit"):
        find("size > 1", limit=2**63)
    assert len(find(" and ".join(["size > 0"] * 100))) == len(MODELS) * len(VERSIONS)


@pytest.mark.parametrize("odd", ["\ud800", "\0", "x" * 10_001])
def test_what_sqlite_takes_as_no_text_is_refused_in_words(find: Find, odd: str) -> None:
    for question in ({"order_by": f"metrics.`{odd}`"}, {"cursor": odd}):
        with pytest.raises(InvalidError):
            find("size > 0", **question)
    with pytest.raises(InvalidError):
        find(f"license = '{odd}'")


@pytest.mark.parametrize("odd", [2**63, -(2**63) - 1, True, [], "\ud800"])
def test_a_cursor_that_somebody_wrote_is_refused(find: Find, odd: object) -> None:
    import base64
    import json

    cursor = find("size > 0", order_by="size", limit=1).next or ""
    value = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    value[-1] = odd
    forged = base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    with pytest.raises(InvalidError, match="is not a cursor"):
        find("size > 0", order_by="size", limit=1, cursor=forged)


@pytest.mark.parametrize("field", ["version", "size", "hyperparameters.epochs", "created", "license"])
def test_a_list_may_be_as_long_as_a_condition(made: Made, find: Find, field: str) -> None:
    found = find("size > 0")
    index = made.folder / "gitreg" / "index.sqlite"
    before = index.stat().st_ino
    value = {"version": "1.0.{}"}.get(field, "{:04}")
    values = ", ".join(value.format(number) for number in range(1_100))
    some = find(f"{field} in ({values})")
    assert (len(some) > 0) == (field not in {"created", "license"})
    assert len(some) + len(find(f"{field} not in ({values})")) == len(found)
    assert index.stat().st_ino == before


def test_sizes_have_units(find: Find, made: Made) -> None:
    assert names(find("size > 4KiB")) == expected(made, lambda each: each.data["size"] > 4096)
    assert names(find("size > 4 kB")) == expected(made, lambda each: each.data["size"] > 4000)


def test_a_name_that_nothing_has_is_told_where_nothing_is_found(find: Find) -> None:
    found = find("metrics.aux > 0.5", "not labels.teem = risk", "labels.team is not null")
    assert found.versions == ()
    assert found.notes == (
        "nothing has labels.teem; did you mean labels.team?",
        "nothing has metrics.aux; did you mean metrics.auc?",
    )
    assert find("metrics.auc > 99").notes == ()
    assert find("metrics.aux is null", limit=1).notes == ()
