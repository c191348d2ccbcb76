"""Every use case, on a bare repository, a clone, a checkout without an origin, and a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError, InvalidError, NotFoundError
from gitreg.registry import Mode
from tests.registries import DRY, PLACES, WEIGHTS, git, request, state_of, tip_holds, weights_of

if TYPE_CHECKING:
    from gitreg.registry import Registry
    from tests.registries import Forge, Opener


def test_questions_have_one_answer_wherever_they_are_asked(opened: Opener) -> None:
    answers = []
    for place in PLACES:
        with opened(place) as registry:
            answers.append(
                (
                    registry.models(),
                    registry.show("risk/fraud@prod"),
                    registry.model("risk/fraud"),
                    registry.card("risk/fraud"),
                    registry.versions("risk/fraud"),
                    registry.search(["metrics.auc>0.91"]),
                    registry.diff("risk/fraud@1.0.0", "risk/fraud@1.1.0"),
                    registry.lineage("vision/ocr@latest"),
                    registry.status(),
                    [(row.number, row.action, row.version, row.commit) for row in registry.history("risk/fraud")],
                    registry.log("risk/fraud"),
                    registry.log(),
                    registry.complete("risk/fraud@"),
                    registry.access_explain("alice", model="risk/fraud"),
                    registry.codeowners(),
                    registry.get_model("risk/fraud@champion").manifest,
                    registry.check_range("HEAD~2", "HEAD") if place != "mirror" else [],
                )
            )
    assert all(answer == answers[0] for answer in answers)


def test_a_version_is_registered_and_pulled(forge: Forge, registry: Registry, place: str) -> None:
    registry.refresh()
    written = registry.register(request(version="3.0.0", metrics={"auc": 0.99}, description="Third."))
    assert tip_holds(forge, place, written)
    assert written.paths == ("models/risk/fraud/3.0.0.yaml",)
    assert written.ref == "refs/heads/main"
    assert registry.show("risk/fraud@latest").manifest.metrics == {"auc": 0.99}
    pulled = registry.pull("risk/fraud@3.0.0", "out")
    assert [path.read_bytes() for path in pulled.files] == [WEIGHTS]
    assert (pulled.bytes, pulled.folder) == (len(WEIGHTS), Path("out"))


def test_the_next_version_is_counted_up(forge: Forge, registry: Registry, place: str) -> None:
    for part, version in (("patch", "2.0.0"), ("minor", "2.1.0"), ("major", "3.0.0")):
        written = registry.register(request(bump=part))
        assert written.subject == f"Register risk/fraud {version}"
        assert tip_holds(forge, place, written)
    assert registry.register(request("new/one", bump="patch")).subject == "Register new/one 0.1.0"
    assert registry.register(request("new/two", bump="major")).subject == "Register new/two 1.0.0"


def test_what_describes_a_version_is_edited(forge: Forge, registry: Registry, place: str) -> None:
    registry.update(
        "risk/fraud@1.0.0", description="Better.", metrics={"f1": 0.7}, labels={"team": "fraud", "new": "1"}
    )
    registry.update("risk/fraud@1.0.0", remove_labels=["new"], license="MIT", lifecycle="deprecated")
    written = registry.update(
        "risk/fraud@1.0.0", evaluations=[{"dataset": {"name": "holdout"}, "split": "test", "metrics": {"auc": 0.8}}]
    )
    assert tip_holds(forge, place, written)
    manifest = registry.show("risk/fraud@1.0.0").manifest
    assert (manifest.description, manifest.license, manifest.lifecycle) == ("Better.", "MIT", "deprecated")
    assert manifest.metrics == {"auc": 0.9, "loss": 1, "f1": 0.7}
    assert manifest.labels == {"team": "fraud"}
    assert manifest.evaluations[0].metrics == {"auc": 0.8}
    again = registry.update("risk/fraud@1.0.0", license="MIT")
    assert again.commit is None
    registry.update_model("risk/fraud", description="Cards.", owners=["bob"], labels={"a": "b"}, card="# Fraud\n")
    assert registry.model("risk/fraud").owners == ("bob",)
    assert registry.card("risk/fraud") == "# Fraud\n"


def test_a_model_goes_through_its_environments_and_back(forge: Forge, registry: Registry, place: str) -> None:
    registry.promote("risk/fraud", "staging", reason="both agree")
    registry.deploy("risk/fraud@1.1.0", "staging", canary="2.0.0-rc.1", percent=10)
    assert registry.status("staging")[0].canary_percent == 10
    assert registry.rollback("risk/fraud", "prod", reason="incident").subject == "Roll back risk/fraud to 1.0.0 in prod"
    with pytest.raises(ConflictError, match=r"was itself a rollback, from 1\.1\.0 to 1\.0\.0; say `to` which version"):
        registry.rollback("risk/fraud", "prod")
    registry.rollback("risk/fraud", "prod", to="1.1.0")
    registry.rollback("risk/fraud", "prod", to="1")
    written = registry.undeploy("risk/fraud", "staging", reason="gone")
    assert tip_holds(forge, place, written)
    actions = [(row.number, row.action, str(row.version)) for row in reversed(registry.history("risk/fraud", "prod"))]
    assert actions == [
        (1, "promote", "1.0.0"),
        (2, "promote", "1.1.0"),
        (3, "rollback", "1.0.0"),
        (4, "rollback", "1.1.0"),
        (5, "rollback", "1.0.0"),
    ]
    assert [row.action for row in registry.history("risk/fraud", "staging")] == [
        "undeploy",
        "deploy",
        "deploy",
        "deploy",
    ]
    tags = git(forge.repository(place), "tag", "--list", "deploy/prod/*").splitlines()
    assert tags == [f"deploy/prod/risk/fraud/{number}" for number in range(1, 6)]


def test_deploying_what_runs_already_changes_nothing(forge: Forge, registry: Registry, place: str) -> None:
    before = forge.tip(place)
    written = registry.deploy("risk/fraud@champion", "staging")
    assert written.commit is None
    assert written.notes == ("risk/fraud@1.1.0 is what staging points at already",)
    assert forge.tip(place) == before


def test_aliases_approvals_and_reports_are_written(forge: Forge, registry: Registry, place: str) -> None:
    registry.alias("risk/fraud@1.0.0", "champion")
    assert registry.show("risk/fraud@champion").manifest.version.text == "1.0.0"
    registry.alias("risk/fraud", "champion", remove=True)
    with pytest.raises(NotFoundError, match="no alias"):
        registry.alias("risk/fraud", "champion", remove=True)
    registry.approve("risk/fraud@1.1.0", "prod", comment="Bias report attached.")
    assert registry.approve("risk/fraud@1.1.0", "prod", comment="Bias report attached.").commit is None
    registry.approve("risk/fraud@1.1.0", "prod", reject=True)
    assert [str(each.verdict) for each in registry.show("risk/fraud@1.1.0").approvals] == ["reject"]
    written = registry.report("risk/fraud@1.1.0", "prod", state="failed", detail="out of memory")
    assert tip_holds(forge, place, written)
    assert registry.status("prod", "risk/fraud")[0].drift == "1.1.0 failed"


def test_a_version_ends_and_comes_back(forge: Forge, registry: Registry, place: str) -> None:
    registry.yank("risk/fraud@1.1.0", reason="leak")
    assert registry.show("risk/fraud@latest").manifest.version.text == "1.0.0"
    assert registry.yank("risk/fraud@1.1.0").notes[0] == "risk/fraud@1.1.0 is yanked already"
    registry.yank("risk/fraud@1.1.0", undo=True)
    registry.archive("vision/ocr@0.1.0")
    with pytest.raises(InvalidError, match="archived"):
        registry.deploy("vision/ocr@0.1.0", "staging")
    with pytest.raises(ConflictError, match="in use: environment staging, alias champion"):
        registry.delete("risk/fraud@1.1.0")
    before = registry.show("risk/fraud@2.0.0-rc.1").manifest_digest
    registry.delete("risk/fraud@2.0.0-rc.1", reason="licence")
    assert registry.versions("risk/fraud")[0].lifecycle == "deleted"
    with pytest.raises(NotFoundError, match="was deleted: licence"):
        registry.show("risk/fraud@2.0.0-rc.1")
    with pytest.raises(ConflictError, match="was deleted and keeps its number"):
        registry.register(request(version="2.0.0-rc.1"))
    written = registry.delete("risk/fraud@2.0.0-rc.1", undo=True)
    assert tip_holds(forge, place, written)
    assert registry.show("risk/fraud@2.0.0-rc.1").manifest_digest == before


def test_a_dry_run_writes_nothing_at_all(forge: Forge, registry: Registry, place: str) -> None:
    registry.refresh()
    Path("other.safetensors").write_bytes(weights_of(b"\0"))
    before, objects = state_of(forge.repository(place)), _objects(forge)
    written = registry.register(request(version="3.0.0", paths=(Path("other.safetensors"),)), DRY)
    assert written.dry_run
    assert written.commit is None
    assert written.violations == ()
    assert written.diff is not None
    assert "+version: 3.0.0" in written.diff
    refused = registry.register(request(version="3.0.0", license=None), DRY)
    assert [str(each.code) for each in refused.violations] == ["metadata-missing"]
    assert registry.deploy("risk/fraud@champion", "staging", DRY).dry_run
    assert "-version: 1.0.0" in str(registry.promote("risk/fraud", "staging", mode=DRY).diff)
    assert (state_of(forge.repository(place)), _objects(forge)) == (before, objects)


def _objects(forge: Forge) -> list[Path]:
    return sorted(path for path in forge.folder.rglob("objects/**/*") if path.is_file())


def test_a_proposal_goes_to_a_branch_of_its_user_and_never_to_main(
    forge: Forge, registry: Registry, place: str
) -> None:
    before = forge.tip(place)
    written = registry.register(request(version="3.0.0"), Mode(propose=True))
    assert written.ref.startswith("refs/heads/proposals/root/register-risk-fraud-3-0-0-")
    assert git(forge.repository(place), "rev-parse", written.ref) == written.commit
    assert forge.tip(place) == before


def test_what_the_gate_would_refuse_is_refused_before_the_weights_are_read(
    forge: Forge, registry: Registry, place: str
) -> None:
    registry.refresh()
    before = state_of(forge.repository(place))
    moved: list[int] = []

    def progress(_path: str, count: int) -> None:
        moved.append(count)

    Path("other.safetensors").write_bytes(weights_of(b"\0"))
    for wrong, kind, said in (
        ({"version": "1.0.0"}, ConflictError, "exists, registered"),
        ({"version": "3.0.0", "license": None}, InvalidError, "license is required by registry.yaml"),
        ({"version": "3.0.0", "parents": ("risk/fraud@9.0.0",)}, NotFoundError, "no version risk/fraud@9.0.0"),
        ({"version": "3.0.0", "labels": {"a b": "c"}}, InvalidError, "labels"),
        ({"version": "3.0.0", "metrics": {"auc": float("nan")}}, InvalidError, "finite"),
        ({"version": "3.0.0", "datasets": ({"nme": "x"},)}, InvalidError, "did you mean 'name'"),
        ({"version": "3.0.0", "created": "2999-01-01T00:00:00Z"}, InvalidError, "future"),
    ):
        with pytest.raises(kind, match=said):
            registry.register(request(paths=(Path("other.safetensors"),), progress=progress, **wrong))
    assert moved == []
    assert state_of(forge.repository(place)) == before
