from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.cli import parse
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from pathlib import Path

KEYS = st.text("abcxyz_", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.001", 0.001),
        ("1e-3", 0.001),
        ("20", 20),
        ("0x10", 16),
        ("true", True),
        ("null", None),
        ("no", "no"),
        ("on", "on"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("a=b", "a=b"),
        ("[1, 2]", "[1, 2]"),
        ("# no comment", "# no comment"),
    ],
)
def test_a_parameter_is_what_yaml_1_2_takes_it_for(text: str, value: object) -> None:
    found = parse.scalars([f"key={text}"], "--param")
    assert found == {"key": value}
    assert type(found["key"]) is type(value)


@given(st.dictionaries(KEYS, st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)))
def test_a_metric_is_the_number_that_was_written(metrics: dict[str, float]) -> None:
    assert parse.numbers([f"{key}={value!r}" for key, value in metrics.items()], "--metric") == metrics


@given(st.dictionaries(KEYS, st.text()))
def test_a_label_is_text_as_it_was_written(labels: dict[str, str]) -> None:
    assert parse.texts([f"{key}={value}" for key, value in labels.items()], "--label") == labels


@pytest.mark.parametrize("value", ["high", "", "true", "null", ".nan", ".inf", "-.inf", "1e999", "nan", "1,5"])
def test_what_is_no_finite_number_is_refused_by_the_name_of_its_flag(value: str) -> None:
    with pytest.raises(InvalidError, match=r"^--metric auc: "):
        parse.numbers([f"auc={value}"], "--metric")


@pytest.mark.parametrize("text", ["auc", "=1", ""])
def test_a_flag_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"--metric .* is not key=value"):
        parse.numbers([text], "--metric")


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"--label gives 'a' twice"):
        parse.texts(["a=1", "a=2"], "--label")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("ledger", {"name": "ledger"}),
        ("ledger@2026.01", {"name": "ledger", "version": "2026.01"}),
        (
            "ledger@2026.01,digest=sha256:ab,uri=s3://x/y?a=b",
            {"name": "ledger", "version": "2026.01", "digest": "sha256:ab", "uri": "s3://x/y?a=b"},
        ),
    ],
)
def test_a_dataset_is_read(text: str, fields: dict[str, str]) -> None:
    assert parse.dataset(text) == fields


@pytest.mark.parametrize("text", ["", "@1", "ledger@", "ledger,", "ledger,size=3", "ledger,digest=", "ledger,uri"])
def test_a_wrong_dataset_is_refused_by_the_name_of_its_flag(text: str) -> None:
    with pytest.raises(InvalidError, match=r"--dataset"):
        parse.dataset(text)


def test_an_external_model_is_provider_and_id() -> None:
    assert parse.external("openai:gpt:5") == {"provider": "openai", "id": "gpt:5"}
    assert parse.external(None) is None
    for text in ("openai", ":x", "x:", ""):
        with pytest.raises(InvalidError, match=r"--external"):
            parse.external(text)


def _file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_json_and_yaml_files_say_the_same(tmp_path: Path) -> None:
    expected = {"auc": 0.5, "n": 3}
    assert parse.numbers_file(_file(tmp_path, "m.json", json.dumps(expected)), "--metrics") == expected
    assert parse.numbers_file(_file(tmp_path, "m.yaml", "auc: 0.5\nn: 3\n"), "--metrics") == expected
    assert parse.numbers_file(_file(tmp_path, "metrics", json.dumps(expected)), "--metrics") == expected
    assert parse.numbers_file(None, "--metrics") == {}


def test_a_list_stands_bare_in_json_or_below_its_name(tmp_path: Path) -> None:
    bare = parse.list_file(_file(tmp_path, "d.json", '[{"name": "x"}]'), "--datasets")
    named = parse.list_file(_file(tmp_path, "d.yaml", "datasets:\n- {name: x}\n"), "--datasets")
    assert bare == named == ({"name": "x"},)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.json", '{"a": 1, "a": 2}'),
        ("m.json", '{"a": NaN}'),
        ("m.json", '{"a": -Infinity}'),
        ("m.json", '{"a": 1e999}'),
        ("m.json", "{"),
        ("m.json", "[" * 100_000),
        ("m.json", ""),
        ("m.json", "[1]"),
        ("m.json", '{"a": "high"}'),
        ("m.json", '{"a": true}'),
        ("m.yaml", "a: 1\na: 2\n"),
        ("m.yaml", "a: &x 1\n"),
        ("m.yaml", "a:\n\t- 1\n"),
        ("m.yaml", "- 1\n"),
        ("m.yaml", "a: yes\n"),
        ("m.yaml", "a: " + "9" * (1 << 20)),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_its_flag(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse.numbers_file(_file(tmp_path, name, text), "--metrics")
    assert str(caught.value).startswith("--metrics")


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InvalidError, match=r"--metrics .* cannot be read"):
            parse.numbers_file(str(path), "--metrics")


def test_a_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_bytes(b"\xff")
    with pytest.raises(InvalidError, match=r"--card .* is not UTF-8"):
        parse.text_file(str(tmp_path / "card.md"), "--card")
    with pytest.raises(InvalidError, match=r"--labels .*: a is a number, and text is wanted"):
        parse.texts_file(_file(tmp_path, "l.json", '{"a": 1}'), "--labels")


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    for read in (parse.dataset, parse.external, lambda each: parse.scalars([f"a={each}"], "--param")):
        try:
            value = read(text)
        except InvalidError:
            continue
        assert value
        assert not any(isinstance(each, float) and not math.isfinite(each) for each in value.values())
