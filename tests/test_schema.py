from __future__ import annotations

import copy
import math
import re
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gitreg.access import Action
from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.manifest import Lifecycle
from gitreg.names import AliasName, EnvironmentName, ModelName, UserName, Version
from gitreg.resources import resource
from gitreg.scan import Format
from gitreg.schema import Kind, check, explain, is_valid, schema
from gitreg.schema.decide import decider
from gitreg.schema.words import reference
from gitreg.wire import Document, dump, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIGEST = "sha256:" + "0f" * 32

MANIFEST = f"""\
api_version: gitreg/v1
kind: ModelVersion
model: risk/fraud-detector
version: 1.4.0
created: 2026-01-31T12:00:00Z
author: {{name: Alice Doe, email: alice@example.org}}
description: Retrained on January's ledger.
artifacts:
  - {{path: model.safetensors, digest: "{DIGEST}", size: 90868376, format: safetensors}}
training:
  datasets:
    - name: ledger
      version: "2026.01"
      digest: {DIGEST}
      uri: s3://ledger/2026.01
  framework: {{name: pytorch, version: 2.13.0}}
  code: {{repository: "https://example.org/risk.git", commit: {"0f" * 20}, dirty: false}}
  hyperparameters: {{learning_rate: 0.001, epochs: 20, layers: [1, [2, {{kind: dense}}]], none: null, "top k": true}}
metrics: {{accuracy: 0.934, auc: 1, precision@10: 0.5, "eval/loss 1": -1e-3}}
evaluations:
  - {{dataset: {{name: ledger}}, split: test, metrics: {{accuracy: 0.9}}}}
signature:
  inputs: [{{name: x, dtype: float32, shape: [batch, 30, null, -1]}}]
  outputs: [{{name: y, dtype: float32, shape: []}}]
parents:
  - {{model: risk/base-encoder, version: 2.0.0, relation: finetuned-from}}
base: {{uri: "hf://org/model@revision"}}
license: Apache-2.0
labels: {{team: risk, task/kind: text-classification, empty: ""}}
lifecycle: active
"""
EXTERNAL = """\
api_version: gitreg/v1
kind: ModelVersion
model: risk/x
version: 0.1.0-rc.1
created: 2026-01-31T12:00:00.5Z
author: {name: A, email: a@b}
external: {provider: acme, id: big-1, endpoint: "https://api.example.org/v1"}
"""
OTHERS = {
    Kind.TOMBSTONE: f"""\
api_version: gitreg/v1
kind: Tombstone
model: risk/fraud-detector
version: 1.4.0
manifest_digest: {DIGEST}
reason: Trained on data we may not keep.
""",
    Kind.MODEL: """\
api_version: gitreg/v1
kind: Model
model: risk/fraud-detector
description: Scores card payments.
owners: [alice, "group:risk-team"]
task: tabular-classification
aliases: {champion: 1.4.0}
labels: {domain: payments}
""",
    Kind.DEPLOYMENT: """\
api_version: gitreg/v1
kind: Deployment
environment: prod
model: risk/fraud-detector
version: 1.4.0
canary_version: 1.5.0
canary_percent: 10
""",
    Kind.APPROVAL: f"""\
api_version: gitreg/v1
kind: Approval
model: risk/fraud-detector
version: 1.4.0
environment: prod
user: dana
verdict: approve
manifest_digest: {DIGEST}
comment: Bias report attached.
""",
    Kind.STATUS: """\
api_version: gitreg/v1
kind: Status
environment: prod
model: risk/fraud-detector
version: 1.4.0
state: live
reported: 2026-02-01T08:00:00Z
endpoint: https://scoring.example.org/fraud
detail: 3 replicas
""",
    Kind.ACCESS: """\
api_version: gitreg/v1
kind: Access
groups: {risk-team: [alice, bob], contractors: []}
grants:
  - {to: [group:risk-team], actions: [register, update], models: [risk/*]}
  - {to: [carol], actions: [deploy, rollback], models: [risk/fraud-*], environments: [staging, prod]}
  - {to: [ci-bot, x@example.org], actions: [report], models: ["*/*"], environments: [prod]}
  - {to: [root], actions: [admin]}
deny:
  - {to: [group:contractors], actions: [deploy], models: ["*/*"], environments: [prod]}
""",
    Kind.REGISTRY: """\
api_version: gitreg/v1
kind: Registry
name: acme
description: Our models.
store: file:../store
environments:
  - {name: staging}
  - {name: prod, after: staging, approvals: 1}
required: [training.datasets, metrics, license]
formats: [safetensors, onnx, gguf]
identity: signature
""",
}
EXAMPLES = [(Kind.MANIFEST, MANIFEST), (Kind.MANIFEST, EXTERNAL), *OTHERS.items()]
VALUES = [(kind, load(text.encode()).value) for kind, text in EXAMPLES]


def subschemas(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk everything in a schema that is a schema or holds some."""
    if isinstance(node, dict):
        yield path, node
        for key, inner in node.items():
            yield from subschemas(inner, f"{path}/{key}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from subschemas(inner, f"{path}/{index}")


def said(kind: Kind, text: str, path: str | None = None) -> list[str]:
    document = load(text.encode(), path)
    assert is_valid(kind, document.value) is (not explain(kind, document))
    return [str(problem) for problem in explain(kind, document)]


def bent(old: str, new: str, text: str = MANIFEST) -> str:
    assert old in text
    return text.replace(old, new, 1)


# --------------------------------------------------------------------------------------------------------- the schemas


@pytest.mark.parametrize("kind", Kind)
def test_a_schema_is_a_closed_one_of_draft_2020_12(kind: Kind) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert schema(kind)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for path, node in subschemas(schema(kind)):
        if node.get("type") == "object":
            assert (node["additionalProperties"] is False) == ("properties" in node), path
            assert "properties" in node or "propertyNames" in node, path


def test_every_kind_has_its_schema_and_every_schema_its_kind() -> None:
    assert {file.name for file in resource("schemas").iterdir()} == {f"{kind}.schema.json" for kind in Kind}


@pytest.mark.parametrize("kind", Kind)
def test_every_property_is_described(kind: Kind) -> None:
    assert schema(kind)["description"]
    assert schema(kind)["title"]
    for path, node in subschemas(schema(kind)):
        for name, property_schema in node.get("properties", {}).items() if "type" in node else ():
            assert len(property_schema["description"]) > len("a word."), f"{path}/{name}"


@pytest.mark.parametrize("kind", Kind)
def test_every_pattern_is_anchored_portable_and_explained(kind: Kind) -> None:
    for path, node in subschemas(schema(kind)):
        if "pattern" in node and "properties" not in path.rsplit("/", 1)[-1]:
            pattern = node["pattern"]
            assert pattern.startswith("^(?:"), path
            assert pattern.endswith(r")(?![\s\S])"), path  # $ would let Python take a line end after the match
            bare = pattern.replace(r"[\s\S]", "")
            assert not re.search(r"\\[dDwWsSbBpPAZz]|\(\?[<P]|\$", bare), path  # they differ between engines
            assert node["patternErrorMessage"].startswith("want "), path
            assert node["maxLength"], path


@pytest.mark.parametrize("kind", Kind)
def test_every_text_list_and_free_mapping_is_bounded(kind: Kind) -> None:
    bounds = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}
    for path, node in subschemas(schema(kind)):
        types = node.get("type", ())
        for name in [types] if isinstance(types, str) else types:
            if name in bounds and not (name == "object" and "properties" in node):
                assert bounds[name] in node, path


def test_shared_definitions_are_the_same_in_every_schema() -> None:
    seen: dict[str, object] = {}
    for kind in Kind:
        for name, definition in schema(kind)["$defs"].items():
            assert seen.setdefault(name, definition) == definition, name


@pytest.mark.parametrize("kind", Kind)
def test_every_definition_is_used(kind: Kind) -> None:
    used = {node["$ref"].removeprefix("#/$defs/") for _, node in subschemas(schema(kind)) if "$ref" in node}
    assert used == set(schema(kind)["$defs"])


def test_the_words_of_the_schemas_are_those_of_the_code() -> None:
    manifest, registry = schema(Kind.MANIFEST), schema(Kind.REGISTRY)
    assert manifest["properties"]["lifecycle"]["enum"] == list(Lifecycle)
    assert schema(Kind.ACCESS)["$defs"]["grant"]["properties"]["actions"]["items"]["enum"] == list(Action)
    formats = manifest["$defs"]["artifact"]["properties"]["format"]["enum"]
    assert formats == registry["properties"]["formats"]["items"]["enum"]
    assert set(formats) == set(Format)


def accepts(make: Callable[[str], object], text: str) -> bool:
    try:
        make(text)
    except InvalidError:
        return False
    return True


ALPHABET = "ab09._-/:+@ \n\u00e9A"
NAMES = st.one_of(
    st.text(ALPHABET, max_size=8),
    st.from_regex(r"[a-z0-9._-]{1,70}(/[a-z0-9._-]{1,70})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(\.[0-9a]{1,2}){1,3}(-[a-zA0-9.-]{0,10})?(\+a)?\n?", fullmatch=True),
    st.from_regex(r"sha256:[0-9a-fA]{63,65}\n?", fullmatch=True),
    st.sampled_from(["latest", "a.lock", "a/b.lock", "a/b.lock.c", "a..b", "1.0.0-" + "a" * 122, "1.0.0-" + "a" * 123]),
)


@pytest.mark.parametrize(
    ("kind", "definition", "make"),
    [
        (Kind.MODEL, "model_name", ModelName.parse),
        (Kind.MODEL, "version", Version),
        (Kind.MODEL, "alias_name", AliasName),
        (Kind.APPROVAL, "environment_name", EnvironmentName),
        (Kind.APPROVAL, "user_name", UserName),
        (Kind.APPROVAL, "digest", Digest.parse),
    ],
)
@given(text=NAMES)
def test_the_grammar_of_names_is_that_of_the_code(
    kind: Kind, definition: str, make: Callable[[str], object], text: str
) -> None:
    assert reference(schema(kind)["$defs"][definition]).is_valid(text) == accepts(make, text)


# ------------------------------------------------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_a_valid_document_is_valid(kind: Kind, text: str) -> None:
    document = load(text.encode())
    assert is_valid(kind, document.value)
    assert explain(kind, document) == ()
    check(kind, document)
    again = load(dump(document.value))
    assert again.value == document.value
    assert is_valid(kind, again.value)


@pytest.mark.parametrize("kind", Kind)
def test_what_is_optional_may_be_left_out(kind: Kind) -> None:
    value = next(value for of, value in VALUES if of is kind)
    needed = {*schema(kind)["required"], *(["artifacts"] if kind is Kind.MANIFEST else [])}
    least = {key: item for key, item in value.items() if key in needed}
    assert is_valid(kind, least)
    for name in needed:
        assert not is_valid(kind, {key: item for key, item in least.items() if key != name})


def test_check_raises_every_problem_at_once() -> None:
    text = bent("license: Apache", "licence: Apache", bent("lifecycle: active", "lifecycle: activ"))
    with pytest.raises(InvalidError) as caught:
        check(Kind.MANIFEST, load(text.encode(), "models/risk/x/1.4.0.yaml"))
    assert str(caught.value).splitlines() == [
        "models/risk/x/1.4.0.yaml is not a valid manifest",
        "  models/risk/x/1.4.0.yaml:28: unknown field 'licence'; did you mean 'license'?",
        (
            "  models/risk/x/1.4.0.yaml:30: lifecycle: found 'activ', allowed: active, deprecated, yanked, archived; "
            "did you mean 'active'?"
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'version: "2026.01"',
            "version: 2026.10",
            '13: training.datasets[0].version: found the number 2026.10, want text; write it in quotes: "2026.10"',
        ),
        ("license: Apache-2.0", "license: true", '28: license: found true, want text; write it in quotes: "true"'),
        ("license: Apache-2.0", "license:", "28: license: found nothing, want text; fill it or leave the field out"),
        ("license: Apache-2.0", "license: [MIT]", "28: license: found a list, want text"),
        ("license: Apache-2.0", "license: {id: MIT}", "28: license: found fields, want text"),
        (
            "license: Apache-2.0",
            'license: "a\\nb"',
            "28: license: found 'a\\nb', want text on one line, without control characters",
        ),
        (
            "accuracy: 0.934",
            'accuracy: "0.934"',
            "19: metrics.accuracy: found the text '0.934', want a number; write it without quotes: 0.934",
        ),
        ("accuracy: 0.934", "accuracy: good", "19: metrics.accuracy: found the text 'good', want a number"),
        ("accuracy: 0.934", "accuracy: true", "19: metrics.accuracy: found true, want a number"),
        ("size: 90868376", "size: -1", "9: artifacts[0].size: found -1, want at least 0"),
        ("size: 90868376", "size: 1.5", "9: artifacts[0].size: found the number 1.5, want a whole number"),
        ("dirty: false", "dirty: no", "17: training.code.dirty: found the text 'no', want true or false"),
        (
            "dirty: false",
            'dirty: "false"',
            "17: training.code.dirty: found the text 'false', want true or false; write it without quotes: false",
        ),
        (
            "[batch, 30",
            "[batch, 1.5",
            "23: signature.inputs[0].shape[1]: found the number 1.5, want a whole number, text",
        ),
        ("  - {path: mod", "  - nothing\n  - {path: mod", "9: artifacts[0]: found the text 'nothing', want fields"),
        (
            "version: 1.4.0",
            "version: v1.4",
            "4: version: found 'v1.4', want MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-pre.release in lower case",
        ),
        ("version: 1.4.0", "version: 1.4", '4: version: found the number 1.4, want text; write it in quotes: "1.4"'),
        ("risk/fraud-detector", "Risk/Fraud", "3: model: found 'Risk/Fraud', want project/name"),
        (
            "path: model.s",
            "path: ../model.s",
            "9: artifacts[0].path: found '../model.safetensors', want a relative path",
        ),
        ("path: model.s", "path: /model.s", "want a relative path with forward slashes"),
        ("path: model.safetensors", "path: 'a\\b'", "9: artifacts[0].path: found 'a\\\\b', want a relative path"),
        (
            "01-31T12:00:00Z",
            "01-31T12:00:00+01:00",
            "5: created: found '2026-01-31T12:00:00+01:00', want a time in UTC",
        ),
        ("2026-01-31T12", "2026-13-31T12", "5: created: found '2026-13-31T12:00:00Z', want a time in UTC"),
        ("alice@example.org", "alice", "6: author.email: found 'alice', want an address such as alice@example.org"),
        ("kind: ModelVersion", "kind: Model", "2: kind: found 'Model', want ModelVersion"),
        ("gitreg/v1", "gitreg/v2", "1: api_version: found 'gitreg/v2', want gitreg/v1"),
        ("gitreg/v1", "1", "1: api_version: found the number 1, want gitreg/v1"),
        ("created: 2026-01-31T12:00:00Z\n", "", "1: missing field 'created'"),
        ("api_version: gitreg/v1\n", "", "1: missing field 'api_version'; write api_version: gitreg/v1"),
        ("name: Alice Doe, ", "", "6: author: missing field 'name'"),
        ("name: ledger\n", "title: ledger\n", "12: training.datasets[0]: missing field 'name'"),
        ("name: ledger\n", "Name: ledger\n", "12: training.datasets[0]: unknown field 'Name'; did you mean 'name'?"),
        ("name: Alice Doe", "name: A, phone: 1", "6: author: unknown field 'phone'; allowed: name, email"),
        (
            "lifecycle: active",
            "lifecycle: Yanked",
            "30: lifecycle: found 'Yanked', allowed: active, deprecated, yanked, archived; did you mean 'yanked'?",
        ),
        ("lifecycle: active", "lifecycle: 1", "30: lifecycle: found the number 1, allowed: active"),
        ("format: safetensors", "format: safetensor", "did you mean 'safetensors'?"),
        (
            "license:",
            "external: {provider: a, id: b}\nlicense:",
            "28: exactly one of 'artifacts' and 'external' is wanted, found both",
        ),
        ("artifacts:", "artefacts:", "1: exactly one of 'artifacts' and 'external' is wanted, found neither"),
        ("artifacts:", "artefacts:", "8: unknown field 'artefacts'; did you mean 'artifacts'?"),
        (
            "{team: risk",
            "{te am: risk",
            "29: labels: the name 'te am' is not allowed; want a letter or digit, then up to",
        ),
        ("{team: risk", f"{{{'t' * 64}: risk", "characters, and 63 are allowed"),
        ("{team: risk", "{team: 1", "29: labels.team: found the number 1, want text"),
        ("Retrained", "x" * 10_001, "7: description: the text has 10,022 characters, and 10,000 are allowed"),
        ("[batch,", "['',", "23: signature.inputs[0].shape[0]: found nothing in it; fill it or leave the field out"),
        ("[1, [2,", "[[[[[[[[[[1]]]]]]]]], [2,", "18: training.hyperparameters.layers[0]"),
    ],
)
def test_a_problem_says_where_what_was_found_and_what_is_allowed(old: str, new: str, message: str) -> None:
    found = said(Kind.MANIFEST, bent(old, new), "f.yaml")
    assert any(message in problem for problem in found), found
    assert all(problem.startswith("f.yaml:") for problem in found)


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        (Kind.DEPLOYMENT, "canary_percent: 10\n", "", "line 6: 'canary_version' needs 'canary_percent' beside it"),
        (Kind.DEPLOYMENT, "canary_version: 1.5.0\n", "", "line 6: 'canary_percent' needs 'canary_version' beside it"),
        (Kind.DEPLOYMENT, "percent: 10", "percent: 100", "line 7: canary_percent: found 100, want at most 99"),
        (Kind.DEPLOYMENT, "percent: 10", "percent: 0x0", "line 7: canary_percent: found 0x0, want at least 1"),
        (Kind.MODEL, "champion", "latest", "line 7: aliases: the name 'latest' is not allowed; want a lower-case"),
        (Kind.MODEL, "champion: 1.4.0", "champion: 1", "line 7: aliases.champion: found the number 1, want text"),
        (Kind.MODEL, '[alice, "group:risk-team"]', "alice", "want a list; write it as a list: [alice]"),
        (
            Kind.MODEL,
            '[alice, "group:risk-team"]',
            "[]",
            "line 5: owners: found nothing in it; fill it or leave the field",
        ),
        (Kind.MODEL, '"group:', '"alice", "alice", "group:', "owners: found 'alice' more than once; name each once"),
        (
            Kind.ACCESS,
            "[register, update]",
            "[register, publish]",
            "line 5: grants[0].actions[1]: found 'publish', allowed: read",
        ),
        (Kind.ACCESS, "[register, update]", "[register, updat]", "did you mean 'update'?"),
        (Kind.ACCESS, "[risk/*]", "[risk]", "line 5: grants[0].models[0]: found 'risk', want project/name with *"),
        (Kind.ACCESS, "to: [root]", "to: ['*']", "line 8: grants[3].to[0]: found '*', want a user's name, or group:"),
        (
            Kind.ACCESS,
            "environments: [prod]}\n  - {to: [root]",
            "environments: ['*']}\n  - {to: [root]",
            "grants[2].environments[0]",
        ),
        (Kind.ACCESS, "deny:", "denies:", "unknown field 'denies'; did you mean 'deny'?"),
        (
            Kind.REGISTRY,
            "approvals: 1",
            "approvals: one",
            "environments[1].approvals: found the text 'one', want a whole",
        ),
        (
            Kind.REGISTRY,
            "after: staging",
            "afterr: staging",
            "environments[1]: unknown field 'afterr'; did you mean 'after'?",
        ),
        (Kind.REGISTRY, "formats: [s", "formats: [pikle, s", "found 'pikle', allowed:"),
        (Kind.APPROVAL, "approve", "approved", "line 7: verdict: found 'approved', allowed: approve, reject"),
        (Kind.STATUS, "state: live", "state: running", "line 6: state: found 'running', allowed: live, failed"),
        (Kind.TOMBSTONE, "sha256:", "sha512:", "want sha256: and 64 lower-case hex digits"),
    ],
)
def test_the_other_kinds_explain_themselves_too(kind: Kind, old: str, new: str, message: str) -> None:
    found = said(kind, bent(old, new, OTHERS[kind]))
    assert any(message in problem for problem in found), found


def test_problems_come_in_the_order_of_their_lines_and_each_once() -> None:
    text = bent(
        "version: 1.4.0", "version: one", bent("gitreg/v1", "gitreg", bent("lifecycle: active", "lifecycle: x"))
    )
    found = explain(Kind.MANIFEST, load(text.encode()))
    assert [problem.field for problem in found] == ["api_version", "version", "lifecycle"]
    assert [problem.line for problem in found] == [1, 4, 30]
    assert [problem.column for problem in found] == [1, 1, 1]


def test_a_hundred_problems_are_enough() -> None:
    metrics = ", ".join(f"m{number}: x" for number in range(300))
    found = said(Kind.MANIFEST, bent("{accuracy: 0.934,", f"{{{metrics},"))
    assert len(found) == 101
    assert found[-1] == "more is wrong than these 100"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_has_to_be_finite(value: float) -> None:
    data = {**VALUES[0][1], "metrics": {"accuracy": value}}
    assert not is_valid(Kind.MANIFEST, data)
    [problem] = explain(Kind.MANIFEST, Document(data))
    assert str(problem) == f"metrics.accuracy: found {value}, want a finite number"


@pytest.mark.parametrize("value", [b"bytes", object(), {1: 2}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    data = {**VALUES[0][1], "training": {"hyperparameters": {"x": value}}}
    assert not is_valid(Kind.MANIFEST, data)
    with pytest.raises(InvalidError):
        check(Kind.MANIFEST, Document(data))


@pytest.mark.parametrize("text", ["1.0.0\n", "1.0.0\u2028", "1.0.0 ", "\n1.0.0", "\u0661.0.0"])
def test_a_line_end_is_no_part_of_a_name(text: str) -> None:
    data = {**VALUES[0][1], "version": text}
    assert not is_valid(Kind.MANIFEST, data)
    assert not reference(schema(Kind.MANIFEST)).is_valid(data)


# -------------------------------------------------------------------------------------------------- the two validators

SPOILERS = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 1.0, 1.5, -0.0, 1e300, 2**63 - 1, -(2**63), 2**64, 10**40, [], {}, ""]
    ),
    st.sampled_from(
        ["1.4.0\n", "a/b\n", "latest", "active", "prod", "a" * 63, "a" * 64, "a" * 128, "a.lock", "../a", "a/."]
    ),
    st.sampled_from(["\U0001f600" * 63, "\U0001f600" * 64, "e\u0301" * 250, "e\u0301" * 251, "\u2028", "\x00", "\xa0"]),
    st.sampled_from(
        [["a", "a"], [1, 1.0], [1, True], [[1], [1.0]], ["\u00e9", "e\u0301"], {"": 1}, {"a": {"a": "\n"}}]
    ),
    st.text(max_size=6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Kind, Any]:
    """Spoil a valid document in a few places, or try another kind's schema on it."""
    kind, value = draw(st.sampled_from(VALUES))
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        all_places = list(places(value))
        if not all_places:
            break
        *around, last = draw(st.sampled_from(all_places))
        node: Any = value
        for key in around:
            node = node[key]
        match draw(st.sampled_from(["set", "set", "set", "drop", "add", "rename"])):
            case "set":
                node[last] = copy.deepcopy(draw(SPOILERS))
            case "drop":
                del node[last]
            case "add" if isinstance(node, dict):
                name = draw(st.one_of(st.sampled_from(["metrics", "external", "x"]), st.text(max_size=4)))
                node[name] = copy.deepcopy(draw(SPOILERS))
            case "rename" if isinstance(node, dict):
                node[draw(st.sampled_from([f"{last}\n", f"{last}".upper(), f" {last}", "a" * 129]))] = node.pop(last)
            case _:
                node[last] = copy.deepcopy(value)
    return draw(st.sampled_from([kind, kind, kind, *Kind])), value


@settings(max_examples=500)
@given(spoiled())
def test_the_validators_agree(case: tuple[Kind, Any]) -> None:
    kind, value = case
    valid = is_valid(kind, value)
    assert reference(schema(kind)).is_valid(value) == valid
    assert by_rust(schema(kind), value) == valid
    found = explain(kind, Document(value, {}, "f.yaml"))
    assert (not found) == valid
    assert all(problem.message and "which breaks the rule" not in problem.message for problem in found)


def by_rust(of: dict[str, Any], value: object) -> bool:
    """Ask a third opinion, of people who never saw the other two."""
    try:
        return jsonschema_rs.Draft202012Validator(of).is_valid(value)
    except ValueError:  # not a JSON value: half a surrogate pair, a number that is not finite
        return False


WORDS = st.sampled_from(["", "a", "b", "ab", "a\n", "\U0001f600", "e\u0301", "\u2028"])
BOUNDS = st.integers(0, 3)
PATTERNS = st.sampled_from(
    ["^(?:a)(?![\\s\\S])", "^(?:[a-b]{0,2})(?![\\s\\S])", "b", "^(?:[^\\u0000-\\u001f]+)(?![\\s\\S])"]
)
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object"])
INNER = st.just({"$ref": "#/$defs/inner"})
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 4),
        st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.5, 1e300, 10**40, float("inf"), float("nan")]),
        WORDS,
        st.just("\ud800"),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=8,
)


def schemas(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw schemas of every keyword that the registry's use."""
    wants: dict[str, st.SearchStrategy[Any]] = {
        "type": st.one_of(TYPES, st.lists(TYPES, min_size=1, max_size=3, unique=True)),
        "const": WORDS,
        "enum": st.lists(WORDS, min_size=1, max_size=3, unique=True),
        "pattern": PATTERNS,
        "minLength": BOUNDS,
        "maxLength": BOUNDS,
        "minItems": BOUNDS,
        "maxItems": BOUNDS,
        "maxProperties": BOUNDS,
        "minimum": st.integers(-1, 2),
        "maximum": st.integers(-1, 2),
        "uniqueItems": st.booleans(),
        "required": st.lists(WORDS, max_size=2, unique=True),
        "dependentRequired": st.dictionaries(WORDS, st.lists(WORDS, max_size=2, unique=True), max_size=2),
        "properties": st.dictionaries(WORDS, inner, max_size=3),
        "additionalProperties": st.one_of(st.just(value=False), inner),
        "propertyNames": inner,
        "items": inner,
        "oneOf": st.lists(inner, min_size=1, max_size=3),
    }
    drawn = st.lists(st.sampled_from(sorted(wants)), min_size=1, max_size=4, unique=True)
    return drawn.flatmap(lambda keys: st.fixed_dictionaries({key: wants[key] for key in keys}))


@settings(max_examples=600, deadline=None)
@given(schemas(st.one_of(schemas(schemas(INNER)), INNER)), schemas(st.just({"type": "string"})), JSON)
def test_the_validators_agree_on_any_schema_of_these_keywords(
    top: dict[str, Any], inner: dict[str, Any], value: object
) -> None:
    of = {**top, "$defs": {"inner": inner}}
    valid = reference(of).is_valid(value)  # type: ignore[arg-type] # what JSON cannot say is asked on purpose
    if "\\ud800" in ascii(value) or not finite(value):
        # What JSON cannot say may be refused where the reference does not look at it, and is never taken otherwise.
        assert valid or not decider(of)(value)
    else:
        assert decider(of)(value) == valid == by_rust(of, value)


def finite(value: object) -> bool:
    if isinstance(value, (dict, list)):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    "of",
    [
        {"format": "uri"},
        {"properties": {"a": {"allOf": []}}},
        {"additionalProperties": True},
        {"items": False},
        {"const": 1},
        {"enum": ["a", None]},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "#/$defs/nothing"},
        {"oneOf": [{"not": {}}]},
    ],
)
def test_what_the_validator_does_not_know_in_a_schema_is_refused(of: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"known here|names no definition"):
        decider({**of, "$defs": {}})


@pytest.mark.parametrize("kind", Kind)
def test_every_part_of_every_schema_is_known(kind: Kind) -> None:
    for name, definition in [("", schema(kind)), *schema(kind)["$defs"].items()]:
        check = decider({**definition, "$defs": schema(kind)["$defs"]})
        assert check(None) == name.startswith("value"), name or kind


def test_the_reference_is_imported_when_something_is_wrong() -> None:
    code = dedent("""\
        import sys
        from gitreg.schema import Kind, explain, is_valid
        from gitreg.wire import Document
        assert not {"jsonschema", "jsonschema_rs"} & {*sys.modules}
        assert not is_valid(Kind.MODEL, {})
        assert "jsonschema" not in sys.modules
        assert explain(Kind.MODEL, Document({}))
    """)
    subprocess.run([sys.executable, "-c", code], check=True)
