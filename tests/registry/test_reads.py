"""Questions and their answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gitreg
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.lineage import Standing
from gitreg.names import Version
from gitreg.registry import LineageNode, ModelSummary, StatusRow, VersionDetails, VersionSummary, open_registry
from tests.registries import WEIGHTS, git, request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitreg.registry import Registry
    from tests.registries import Forge, Opener


def _names(rows: Iterable[VersionSummary]) -> list[str]:
    return [f"{row.model}@{row.version}" for row in rows]


def test_models_are_summarised(reading: Registry) -> None:
    fraud, ocr = reading.models()
    assert isinstance(fraud, ModelSummary)
    assert (str(fraud.model), fraud.versions, str(fraud.latest)) == ("risk/fraud", 3, "1.1.0")
    assert fraud.aliases == {"champion": Version("1.1.0")}
    assert fraud.deployed == {"staging": Version("1.1.0"), "prod": Version("1.0.0")}
    assert (str(ocr.model), ocr.deployed) == ("vision/ocr", {})
    assert [str(row.model) for row in reading.models("vision")] == ["vision/ocr"]
    with pytest.raises(NotFoundError, match="no project 'visoin'"):
        reading.models("visoin")


def test_a_version_is_shown_with_what_points_at_it(reading: Registry) -> None:
    details = reading.show("risk/fraud@champion")
    assert isinstance(details, VersionDetails)
    assert (details.aliases, details.deployed) == (("champion",), ("staging",))
    rows = reading.versions("risk/fraud")
    assert isinstance(rows[0], VersionSummary)
    assert _names(rows) == ["risk/fraud@2.0.0-rc.1", "risk/fraud@1.1.0", "risk/fraud@1.0.0"]
    assert (rows[1].aliases, rows[1].deployed, rows[2].deployed) == (("champion",), ("staging",), ("prod",))


@pytest.mark.parametrize(
    ("selector", "version"),
    [
        ("risk/fraud", "1.1.0"),
        ("risk/fraud@latest", "1.1.0"),
        ("risk/fraud@prod", "1.0.0"),
        ("risk/fraud@champion", "1.1.0"),
        ("risk/fraud@^1", "1.1.0"),
        ("risk/fraud@1.0", "1.0.0"),
        ("risk/fraud@<1.1", "1.0.0"),
        ("risk/fraud@>=2.0.0-rc", "2.0.0-rc.1"),
        ("risk/fraud@2.0.0-rc.1", "2.0.0-rc.1"),
        ("models:/risk/fraud/1.0.0", "1.0.0"),
        ("models:/risk/fraud@prod", "1.0.0"),
    ],
)
def test_a_selector_means_one_version(reading: Registry, selector: str, version: str) -> None:
    assert str(reading.get_model(selector).version) == version


@pytest.mark.parametrize(
    ("selector", "kind", "said"),
    [
        ("risk/frod@prod", NotFoundError, "there is no model risk/frod; did you mean risk/fraud?"),
        ("zzz/zzz", NotFoundError, "`gitreg list` shows what there is"),
        ("risk/fraud@prd", NotFoundError, "did you mean risk/fraud@prod?"),
        ("risk/fraud@Prod", NotFoundError, "did you mean risk/fraud@prod?"),
        ("risk/fraud@chmpion", NotFoundError, "did you mean risk/fraud@champion?"),
        ("risk/fraud@zzz", NotFoundError, "it has staging, prod, champion, latest, and versions"),
        ("risk/fraud@1.0.1", NotFoundError, r"no version risk/fraud@1\.0\.1; did you mean 1\.0\.0\?"),
        ("risk/fraud@^3", NotFoundError, r"no active version in \^3"),
        ("risk/fraud@v1.0.0", InvalidError, r"leave out the v: 1\.0\.0"),
        ("risk/fraud@2.0.0-RC.1", InvalidError, r"versions are lower case: 2\.0\.0-rc\.1"),
        ("risk/fraud@1.0.0+cuda", InvalidError, "build metadata"),
        ("risk/fraud@>", InvalidError, "not a version range"),
        ("vision/ocr@prod", NotFoundError, "nothing of vision/ocr is deployed in prod; `gitreg deploy"),
        ("Risk/Fraud", InvalidError, "not a project name"),
        ("risk/fraud@", InvalidError, "names nothing after @"),
    ],
)
def test_a_selector_that_means_none_is_told_what_there_is(
    reading: Registry, selector: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        reading.show(selector)


def test_a_name_of_digits_goes_before_the_range_that_it_reads_as_too(bare: Registry) -> None:
    assert str(bare.get_model("risk/fraud@1").version) == "1.1.0"
    bare.alias("risk/fraud@1.0.0", "1")
    assert str(bare.get_model("risk/fraud@1").version) == "1.0.0"
    bare.alias("risk/fraud@1.0.0", "2026")
    assert str(bare.get_model("risk/fraud@2026").version) == "1.0.0"


def test_yanked_versions_are_hidden_and_a_pre_release_is_latest_only_alone(bare: Registry) -> None:
    bare.yank("risk/fraud@1.1.0")
    assert str(bare.get_model("risk/fraud@^1").version) == "1.0.0"
    assert str(bare.get_model("risk/fraud@1.1.0").version) == "1.1.0"
    bare.archive("risk/fraud@1.0.0")
    assert str(bare.get_model("risk/fraud").version) == "2.0.0-rc.1"
    bare.yank("risk/fraud@2.0.0-rc.1")
    with pytest.raises(NotFoundError, match="risk/fraud has no active version"):
        bare.show("risk/fraud")
    assert bare.models()[0].latest is None


# Search


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["metrics.auc>0.9"], "fraud@2.0.0-rc.1 fraud@1.1.0"),
        (["metrics.auc>=0.9"], "fraud@2.0.0-rc.1 fraud@1.1.0 fraud@1.0.0"),
        (["metrics.auc<0.95"], "fraud@1.0.0"),
        (["metrics.auc<=0.95", "metrics.auc>=0.95"], "fraud@1.1.0"),
        (["metrics.auc=0.95"], "fraud@1.1.0"),
        (["metrics.auc == .95"], "fraud@1.1.0"),
        (["metrics.loss=1.0"], "fraud@1.0.0"),
        (["metrics.auc!=0.95", "model=risk/fraud"], "fraud@2.0.0-rc.1 fraud@1.0.0"),
        (["labels.team=risk"], "fraud@1.0.0"),
        (["labels.team!=risk"], "fraud@2.0.0-rc.1 fraud@1.1.0 ocr@0.1.0"),
        (["labels.team~RIS"], "fraud@1.0.0"),
        (["hyperparameters.epochs>=20"], "fraud@1.0.0"),
        (["hyperparameters.optimizer=adam"], "fraud@1.0.0"),
        (["hyperparameters.optimizer>1"], ""),
        (["hyperparameters.nesterov=true"], "fraud@1.0.0"),
        (["hyperparameters.nesterov>0"], ""),
        (["model~OCR"], "ocr@0.1.0"),
        (["project=vision"], "ocr@0.1.0"),
        (["version=1.0.0"], "fraud@1.0.0"),
        (["version>=1.1.0"], "fraud@2.0.0-rc.1 fraud@1.1.0"),
        (["version<1.0.0"], "ocr@0.1.0"),
        (["author=Test User", "version<2.0.0-rc.1", "model=risk/fraud"], "fraud@1.1.0 fraud@1.0.0"),
        (["license=Apache-2.0", "task=tabular-classification"], "fraud@2.0.0-rc.1 fraud@1.1.0 fraud@1.0.0"),
        (["lifecycle=active", "project=vision"], "ocr@0.1.0"),
        (["base~hf://"], "ocr@0.1.0"),
        (["deployed=prod"], "fraud@1.0.0"),
        (["alias=champion"], "fraud@1.1.0"),
        (["dataset=ledger"], "fraud@1.0.0"),
        (["framework=pytorch"], "fraud@1.0.0"),
        (["parent=risk/fraud@1.1.0"], "ocr@0.1.0"),
        (["created>2020"], "fraud@2.0.0-rc.1 fraud@1.1.0 fraud@1.0.0 ocr@0.1.0"),
        (["created<2020-01-31"], ""),
        (["created>2020-01-31T12:00:00Z", "project=vision"], "ocr@0.1.0"),
    ],
)
def test_versions_are_found_by_conditions(reading: Registry, conditions: list[str], found: str) -> None:
    projects = {"fraud": "risk", "ocr": "vision"}
    assert _names(reading.search(conditions)) == [
        f"{projects[each.partition('@')[0]]}/{each}" for each in found.split()
    ]


def test_a_time_is_compared_as_precisely_as_it_is_given(bare: Registry) -> None:
    bare.register(request("a/b", "1.0.0", created="2026-01-31T12:30:00Z"))
    found = {
        condition: bool(bare.search([f"created{condition}", "model=a/b"]))
        for condition in (
            ">2026-01-31",
            ">=2026-01-31",
            "<=2026-01-31",
            "<2026-01-31",
            ">2026-01-30",
            "<2026-02",
            ">2026",
        )
    }
    assert found == {
        ">2026-01-31": False,
        ">=2026-01-31": True,
        "<=2026-01-31": True,
        "<2026-01-31": False,
        ">2026-01-30": True,
        "<2026-02": True,
        ">2026": False,
    }


def test_a_search_may_end_early(reading: Registry) -> None:
    assert _names(reading.search(["metrics.auc>0"], limit=1)) == ["risk/fraud@2.0.0-rc.1"]
    assert len(reading.search(["metrics.auc>0"], limit=99)) == 3
    with pytest.raises(InvalidError, match="--limit: found 0"):
        reading.search(["metrics.auc>0"], limit=0)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("auc", "write FIELD OPERATOR VALUE"),
        ("metrics.auc>", "is not a condition"),
        (">1", "is not a condition"),
        ("metrics>1", "there is no field 'metrics'"),
        ("metrcs.auc>1", r"did you mean metrics\.auc\?"),
        ("licence=MIT", "did you mean license"),
        ("zzz=1", r"allowed: model, .*metrics\.<key>"),
        ("license.x=1", "there is no field 'license.x'"),
        ("metrics.auc>high", r"(?s)'high' is not a number.*metrics are compared as numbers"),
        ("metrics.auc>nan", "'nan' is not a number"),
        ("metrics.auc<inf", "'inf' is not a number"),
        ("license>MIT", "(?s)license has no order.*allowed with it: = != ~"),
        ("labels.team<3", "labels has no order"),
        ("deployed>prod", "deployed has no order"),
        ("version>1.0", "is not a version"),
        ("created>yesterday", "'yesterday' is not a time"),
    ],
)
def test_a_condition_that_is_none_is_told_of(reading: Registry, condition: str, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        reading.search([condition])


@pytest.mark.parametrize("conditions", [(), "", [" "]])
def test_without_a_condition_every_version_is_found(reading: Registry, conditions: str | list[str]) -> None:
    assert _names(reading.search(conditions)) == _names(reading.search("size >= 0"))
    assert _names(reading.search(conditions, order_by="metrics.auc desc", limit=1)) == ["risk/fraud@2.0.0-rc.1"]


# Comparison and lineage


def test_two_versions_are_compared(reading: Registry) -> None:
    found = reading.diff("risk/fraud@prod", "risk/fraud@staging")
    deltas = {each.name: (each.left, each.right) for each in found.metrics}
    assert deltas == {"auc": (0.9, 0.95), "loss": (1, None), "f1": (None, 0.8)}


def test_lineage_is_a_tree_down_to_what_lies_outside(reading: Registry) -> None:
    node = reading.lineage("vision/ocr")
    assert isinstance(node, LineageNode)
    assert (node.name, node.relation) == ("vision/ocr@0.1.0", None)
    fraud, base = node.parents
    assert (fraud.name, fraud.relation) == ("risk/fraud@1.1.0", "derived-from")
    assert (base.name, base.relation, base.state) == ("hf://org/ocr@main", "base", "outside the registry")
    assert [(each.name, each.relation) for each in fraud.parents] == [("risk/fraud@1.0.0", "finetuned-from")]
    assert reading.lineage("vision/ocr", depth=1).parents[0].state == "its parents are deeper than asked for"


def test_lineage_tells_of_ancestors_that_are_gone(bare: Registry) -> None:
    bare.register(request("a/b", "1.0.0", parents=("risk/fraud@2.0.0-rc.1",)))
    bare.delete("risk/fraud@2.0.0-rc.1")
    assert bare.lineage("a/b").parents[0].state == str(Standing.DELETED)


# Status and history


def test_status_compares_what_is_meant_with_what_is_reported(bare: Registry) -> None:
    staging, prod = bare.status()
    assert isinstance(prod, StatusRow)
    assert (staging.environment, staging.version, staging.reported) == ("staging", Version("1.1.0"), None)
    assert (prod.version, prod.drift) == (Version("1.0.0"), None)
    assert prod.reported is not None
    assert prod.reported.endpoint == "https://scoring.example.org"
    bare.promote("risk/fraud", "staging")
    assert bare.status("prod")[0].drift == "1.0.0 is reported"
    bare.yank("risk/fraud@1.1.0")
    assert {row.lifecycle for row in bare.status()} == {"yanked"}
    assert bare.status(model="vision/ocr") == []
    with pytest.raises(NotFoundError, match="no environment 'prd'; did you mean prod"):
        bare.status("prd")
    with pytest.raises(NotFoundError, match="no model a/b"):
        bare.status(model="a/b")
    with pytest.raises(NotFoundError, match="no version"):
        bare.report("risk/fraud@7.0.0", "prod")


def test_history_and_log_tell_what_happened_in_the_registrys_words(reading: Registry) -> None:
    rows = reading.history("risk/fraud", "staging")
    assert [(row.number, row.action, str(row.version), row.reason) for row in rows] == [
        (2, "deploy", "1.1.0", "the second"),
        (1, "deploy", "1.0.0", "the first"),
    ]
    everywhere = reading.history("risk/fraud")
    assert [row for row in everywhere if row.environment == "staging"] == rows
    assert {(row.environment, row.action) for row in everywhere} == {("staging", "deploy"), ("prod", "promote")}
    assert all(row.marked and row.actor == "root" for row in everywhere)
    entries = reading.log("risk/fraud", limit=None)
    assert entries[0].changes == ("status risk/fraud for prod",)
    assert entries[1].changes == ("staging: risk/fraud 1.0.0 → 1.1.0",)
    assert entries[-1].changes == ("registered risk/fraud@1.0.0", "model created risk/fraud")
    assert [entry.subject for entry in reading.log("vision/ocr", limit=None)] == ["Register vision/ocr 0.1.0"]
    assert len(reading.log(limit=2)) == 2
    assert len(reading.log(limit=None)) == 10


def test_the_past_is_answered_as_it_was(forge: Forge, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = int(time.time()) + 60
    for selector in ("risk/fraud@2.0.0-rc.1", "risk/fraud@1.1.0", "vision/ocr@0.1.0"):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"@{moment} +0000")
        with open_registry(forge.bare) as registry:
            registry.deploy(selector, "staging")
        moment += 60
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    registry = opened("bare")

    def at(seconds: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment - 180 + seconds))

    assert [str(registry.show("risk/fraud@staging", at=at(t)).manifest.version) for t in (-1, 0, 59, 60)] == [
        "1.1.0",
        "2.0.0-rc.1",
        "2.0.0-rc.1",
        "1.1.0",
    ]
    # The pointer is now where it was then, with two deployments since: the tags know more than was asked.
    assert [len(registry.history("risk/fraud", "staging", at=at(t))) for t in (-1, 0, 60, 999)] == [2, 3, 4, 4]
    assert len(registry.status("staging", at=at(119))) == 1
    assert len(registry.status("staging", at=at(120))) == 2
    with pytest.raises(NotFoundError, match="did not exist yet at 2001-01-01"):
        registry.models(at="2001-01-01")
    with pytest.raises(InvalidError, match="'last week' is not a time; write 2026-01-31 or"):
        registry.models(at="last week")


# Files


def test_pulled_files_are_verified_and_cached(bare: Registry, forge: Forge) -> None:
    Path("big").mkdir()
    Path("big/a.safetensors").write_bytes(WEIGHTS)
    Path("big/b.txt").write_text("text")
    bare.register(request("a/b", "1.0.0", paths=(Path("big"),)))
    pulled = bare.pull("a/b", "out", only="*.txt")
    assert [path.name for path in pulled.files] == ["b.txt"]
    assert bare.pull("a/b", "out").bytes == len(WEIGHTS) + 4
    Path("out/b.txt").unlink()
    Path("out/b.txt").write_text("mine")
    with pytest.raises(ConflictError, match="files of other content"):
        bare.pull("a/b", "out")
    assert bare.pull("a/b", "out", force=True).files[1].read_text() == "text"
    with pytest.raises(NotFoundError, match="no file of this version matches"):
        bare.pull("a/b", "out", only="*.onnx")
    for blob in (forge.folder / "store" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    assert bare.pull("a/b", "again").bytes == len(WEIGHTS) + 4  # from the cache
    assert (bare.get_model("a/b").download() / "b.txt").read_text() == "text"


@pytest.mark.parametrize("damage", [b"", WEIGHTS[:-1] + b"x", WEIGHTS + b"x"])
def test_a_damaged_blob_is_never_given_out(forge: Forge, opened: Opener, damage: bytes) -> None:
    for blob in (forge.folder / "store" / "blobs").rglob("*"):
        if blob.is_file():
            blob.chmod(0o644)
            blob.write_bytes(damage)
    for place in ("bare", "clone", "mirror"):
        with pytest.raises(IntegrityError, match=r"model\.safetensors: "):
            opened(place).pull("risk/fraud@prod", "out")
        assert not Path("out").exists()


def test_a_missing_blob_is_not_found(forge: Forge, bare: Registry) -> None:
    for blob in (forge.folder / "store" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    with pytest.raises(NotFoundError, match="is not in the store"):
        bare.pull("risk/fraud@prod", "out")


# The module's own functions, and odds and ends


def test_the_modules_functions_use_the_default_registry(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_REGISTRY", str(forge.bare))
    version = gitreg.register_model("a/b", "model.safetensors", license="MIT", code=False)
    assert str(version.version) == "0.1.0"
    found = gitreg.get_model("a/b@latest")
    assert found.manifest == version.manifest
    assert (found.download() / "model.safetensors").read_bytes() == WEIGHTS
    found.registry.close()
    with gitreg.open() as registry:
        assert isinstance(registry, gitreg.Registry)
        assert len(registry.models()) == 3
    monkeypatch.delenv("GITREG_REGISTRY")
    with pytest.raises(gitreg.NotFoundError, match="there is no registry here; stand in a checkout, name one with"):
        gitreg.open()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gitreg.nonsense


def test_the_default_registry_is_the_flags_then_the_variables_then_the_folders_then_the_users(
    forge: Forge, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write(f"[gitreg]\n registry = {forge.local}\n")
    with gitreg.open() as registry:
        assert registry.location.path == forge.local
    (forge.clone() / "models").mkdir(exist_ok=True)
    monkeypatch.chdir(forge.folder / "clone" / "models")
    with gitreg.open() as registry:
        assert registry.location.path == forge.folder / "clone"
    monkeypatch.setenv("GITREG_REGISTRY", forge.bare.as_uri())
    with gitreg.open() as registry:
        assert registry.location.text == forge.bare.as_uri()
    with gitreg.open(forge.bare) as registry:
        assert registry.location.path == forge.bare


def test_a_checkout_shows_what_it_last_fetched_unless_told_to_fetch(forge: Forge, opened: Opener) -> None:
    clone = opened("clone")
    assert len(clone.versions("risk/fraud")) == 3
    opened("bare").register(request(version="3.0.0"))
    assert len(clone.versions("risk/fraud")) == 3
    assert len(opened("clone", fetch=True).versions("risk/fraud")) == 4
    opened("bare").register(request(version="3.1.0"))
    clone.refresh()
    assert len(clone.versions("risk/fraud")) == 5


def test_typing_is_completed(reading: Registry) -> None:
    assert reading.complete("") == ["risk/fraud", "vision/ocr"]
    assert reading.complete("ri") == ["risk/fraud"]
    assert reading.complete("risk/fraud@p") == ["risk/fraud@prod"]
    everything = ["latest", "staging", "prod", "champion", "2.0.0-rc.1", "1.1.0", "1.0.0"]
    assert reading.complete("risk/fraud@") == [f"risk/fraud@{each}" for each in everything]
    assert reading.complete("Risk@") == reading.complete("a/b@") == []


def test_access_is_explained(reading: Registry) -> None:
    rows = {row.action: row for row in reading.access_explain("alice", model="risk/fraud")}
    assert rows["register"].allowed
    assert rows["register"].rule == "grants[0]"
    assert not rows["deploy"].allowed
    assert all(row.allowed for row in reading.access_explain("root"))


def test_a_url_has_no_doctor_and_a_repository_has(opened: Opener) -> None:
    assert all(finding.fine for finding in opened("bare").doctor())
    with pytest.raises(InvalidError, match="run it on the server"):
        opened("mirror").doctor()


def test_missing_tags_are_written(forge: Forge, opened: Opener) -> None:
    git(forge.bare, "update-ref", "-d", "refs/tags/deploy/prod/risk/fraud/1")
    (forge.bare / "gitreg" / "marked").unlink()
    assert opened("bare").mark() == ["refs/tags/deploy/prod/risk/fraud/1"]
    assert opened("bare").mark() == []
    assert opened("clone").mark(push=True) == []


def test_damage_in_the_registry_is_told_as_damage(forge: Forge, bare: Registry) -> None:
    work = forge.clone("work")
    (work / "models/risk/fraud/1.0.0.yaml").write_text("\tno\n")
    git(work, "commit", "--quiet", "--no-verify", "-am", "Break")
    git(forge.bare, "fetch", "--quiet", str(work), "+main:main")
    with pytest.raises(IntegrityError, match=r"models/risk/fraud/1\.0\.0\.yaml is damaged: .*"):
        bare.show("risk/fraud@1.0.0")
    assert bare.log(limit=1)[0].changes[0].startswith("invalid: models/risk/fraud/1.0.0.yaml:1")
