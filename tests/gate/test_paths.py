from __future__ import annotations

import pytest

from gitreg.gate import Code, Limits, judge_paths
from tests.gate.support import PROD, ROOT, Judge, commit, model_file, pointer_file, start, version_file

BIG = b"#" * ((1 << 20) + 1)


@pytest.mark.parametrize("mode", ["100755", "100664", "120000", "160000"])
@pytest.mark.parametrize(
    "path",
    ["models/risk/fraud/1.1.0.yaml", "models", "deployments/staging", "registry.yaml", "access.yaml", "keys/x"],
)
def test_governed_paths_hold_regular_files(mode: str, path: str) -> None:
    codes = Judge().codes(start(), {path: b"../elsewhere"}, {path: mode})

    assert Code.FILE_MODE in codes


@pytest.mark.parametrize(("mode", "fine"), [("100644", True), ("100755", True), ("120000", True), ("160000", False)])
def test_free_form_paths_may_hold_programs_and_links_but_no_submodules(mode: str, fine: bool) -> None:
    codes = Judge().codes(start(), {"tools/run": b"x"}, {"tools/run": mode})

    assert codes == ([] if fine else [Code.FILE_MODE])


@pytest.mark.parametrize("path", ["models/risk/fraud/README.md", "weights.bin"])
def test_a_file_has_a_size_that_people_can_read(path: str) -> None:
    assert Judge().codes(start(), {path: BIG[:-1]}) == []
    assert Judge().codes(start(), {path: BIG}) == [Code.FILE_TOO_LARGE]


def test_a_file_too_large_is_not_read() -> None:
    made = commit(start(), version_file("1.1.0"))

    [found] = judge_paths(made.edits, Limits(file_bytes=10))

    assert found.code is Code.FILE_TOO_LARGE
    assert found.remedy == "weights belong into the object store: gitreg register"


@pytest.mark.parametrize(
    "path",
    [
        "models/readme.txt",
        "models/risk/fraud/notes.txt",
        "models/risk/fraud/1.0.yaml",
        "models/risk/fraud/1.0.0+build.yaml",
        "models/risk/fraud/1.0.0-RC.1.yaml",
        "models/risk/fraud/v1.0.0.yaml",
        "models/risk/fraud/1.0.0.yml",
        "models/risk/fraud/readme.md",
        "models/risk/fraud/MODEL.yaml",
        "models/risk/fraud/deep/1.0.0.yaml",
        "models/Risk/fraud/model.yaml",
        "models/risk/fraud.lock/model.yaml",
        "models/risk/fr..aud/model.yaml",
        "models/risk/.fraud/model.yaml",
        "models/risk/fräud/model.yaml",
        "models/risk/" + "f" * 64 + "/model.yaml",
        "deployments/staging/risk/fraud.json",
        "deployments/Staging/risk/fraud.yaml",
        "deployments/staging/fraud.yaml",
        "status/staging/risk/fraud/extra.yaml",
        "approvals/risk/fraud/1.0.0/prod/Dana.yaml",
        "approvals/risk/fraud/1.0.0/prod/da..na.yaml",
        "approvals/risk/fraud/latest/prod/dana.yaml",
        "keys/other",
        "keys/allowed_signers/x",
    ],
)
def test_a_governed_folder_holds_nothing_else(path: str) -> None:
    [found] = Judge().violations(start(), {path: b"x: 1\n"})

    assert (found.code, found.path) == (Code.FILE_INVALID, path)


@pytest.mark.parametrize(
    "path",
    [
        "Models/risk/fraud/1.0.0.yaml",
        "MODELS",
        "Deployments/x",
        "Registry.yaml",
        "ACCESS.YAML",
        "Access.yaml/x",
        "registry.yaml/x",
        "KEYS/allowed_signers",
        "\u212aeys/allowed_signers",  # the Kelvin sign folds to k
        "model\u017f/x",  # the long s folds to s
        "mod\u200cels/x",  # macOS ignores the zero-width non-joiner
    ],
)
def test_no_path_is_a_governed_one_where_case_does_not_count(path: str) -> None:
    assert Judge().codes(start(), {path: b"x"}) == [Code.FILE_INVALID]


@pytest.mark.parametrize(
    "path", ["README.md", "docs/models/x", "models.md", "my-models/x", ".gitattributes", "CODEOWNERS"]
)
def test_the_rest_of_the_tree_is_free(path: str) -> None:
    assert Judge(ROOT).codes(start(), {path: b"x"}) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"- a list\n",
        b"kind: [unclosed\n",
        b"a: 1\na: 2\n",
        b"a: &x 1\nb: *x\n",
        b"\xff\xfe",
        b"a: !!python/object:os.system x\n",
        b"--- {}\n--- {}\n",
        b"\ta: 1\n",
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "models/risk/fraud/1.1.0.yaml",
        "models/risk/fraud/model.yaml",
        "deployments/staging/risk/fraud.yaml",
        "status/staging/risk/fraud.yaml",
        "approvals/risk/fraud/1.0.0/prod/root.yaml",
        "access.yaml",
        "registry.yaml",
    ],
)
def test_every_governed_file_is_strict_yaml(path: str, text: bytes) -> None:
    found = Judge().violations(start(), {path: text})

    assert {each.code for each in found} == {Code.FILE_INVALID}
    assert {each.path for each in found} == {path}


def test_a_problem_is_told_once() -> None:
    """Several rules look at the same invalid pointer."""
    path = "deployments/staging/risk/fraud.yaml"
    broken = {path: pointer_file("1.0.0")[path] + b"extra: 1\n", **pointer_file("1.0.0", PROD)}

    [found] = Judge().violations(start(), broken)

    assert "extra" in str(found)


def test_model_files_are_read_strictly_too() -> None:
    [(path, data)] = model_file().items()

    [found] = Judge().violations(start(), {path: data + b"alias: {}\n"})

    assert "aliases" in found.message
