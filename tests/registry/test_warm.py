"""What a registry that stays open answers without asking git, and that it is never out of date."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import NotFoundError
from gitreg.git.catfile import CatFile
from gitreg.git.process import Runner
from gitreg.wire import load_plain
from tests.registries import MAIN, git, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.registry import Registry
    from tests.registries import Forge, Opener

QUESTIONS: dict[str, Callable[[Registry], Any]] = {
    "by environment": lambda registry: registry.get_model("risk/fraud@prod").details,
    "by alias": lambda registry: registry.get_model("risk/fraud@champion").details,
    "by number": lambda registry: registry.show("vision/ocr@0.1.0"),
    "versions": lambda registry: registry.versions("risk/fraud"),
    "models": lambda registry: registry.models(),
    "status": lambda registry: registry.status(),
    "access": lambda registry: registry.access_explain("carol", model="risk/fraud"),
    "settings": lambda registry: registry.snapshot().settings,
}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which processes git's room starts, and what is asked of the one that stays."""
    started: list[str] = []
    start, send = Runner.start, CatFile._send

    def noted(self: Runner, args: Any, **how: Any) -> Any:  # noqa: ANN401 - as the method that it stands for
        started.append(args[0])
        return start(self, args, **how)

    def sent(self: CatFile, commands: Any) -> None:  # noqa: ANN401 - as above
        listed = list(commands)
        started.extend(listed)
        send(self, listed)

    monkeypatch.setattr(Runner, "start", noted)
    monkeypatch.setattr(CatFile, "_send", sent)
    return started


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_asked_again_takes_nothing_from_git(reading: Registry, processes: list[str], question: str) -> None:
    ask = QUESTIONS[question]
    first = ask(reading)
    assert processes, "the first one has to read"
    processes.clear()
    assert ask(reading) == first
    assert processes == []


@pytest.mark.parametrize("place", ["bare", "clone", "local"])
def test_what_moves_main_is_seen_by_the_next_question(forge: Forge, opened: Opener, place: str) -> None:
    registry, folder = opened(place), forge.repository("local" if place == "local" else "bare")
    assert str(registry.get_model("risk/fraud@prod").version) == "1.0.0"
    with_ref = "refs/remotes/origin/main" if place == "clone" else MAIN
    registry.deploy("risk/fraud@1.1.0", "prod", reason="by this process")
    assert str(registry.get_model("risk/fraud@prod").version) == "1.1.0"
    where = forge.folder / "clone" if place == "clone" else folder
    before = git(where, "rev-parse", f"{with_ref}~1")
    git(where, "update-ref", with_ref, before)  # by another
    assert str(registry.get_model("risk/fraud@prod").version) == "1.0.0"
    git(where, "pack-refs", "--all")
    assert str(registry.get_model("risk/fraud@prod").version) == "1.0.0"
    assert registry.snapshot().commit == registry.tip() == before


def test_after_a_commit_only_what_it_changed_is_parsed_again(
    opened: Opener, processes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = opened("bare")
    registry.get_model("risk/fraud@prod")
    registry.register(request("vision/ocr", "0.2.0"))
    parsed: list[str | None] = []

    def noted(data: bytes, path: str | None = None) -> dict[str, object]:
        parsed.append(path)
        return load_plain(data, path)

    monkeypatch.setattr("gitreg.reader.snapshot.load_plain", noted)
    registry.get_model("risk/fraud@prod")
    assert parsed == []
    registry.get_model("vision/ocr@0.2.0")
    assert "models/vision/ocr/0.2.0.yaml" in parsed
    assert len(parsed) == len(set(parsed))


def test_what_a_caller_does_with_an_answer_is_in_no_other_answer(reading: Registry) -> None:
    first: Any = reading.get_model("risk/fraud@prod")
    first.metrics["auc"] = 0.1
    first.manifest.training.hyperparameters["epochs"] = 1
    first.manifest.labels.clear()
    again = reading.get_model("risk/fraud@prod")
    assert again.metrics == {"auc": 0.9, "loss": 1}
    assert again.manifest.training is not None
    assert (again.manifest.training.hyperparameters or {})["epochs"] == 20
    assert again.manifest.labels == {"team": "risk"}


def test_what_is_not_there_stays_an_error_and_is_found_once_it_is(opened: Opener) -> None:
    registry = opened("bare")
    for _ in range(2):
        with pytest.raises(NotFoundError, match=r"there is no version risk/fraud@1\.2\.0"):
            registry.get_model("risk/fraud@1.2.0")
    registry.register(request(version="1.2.0"))
    assert str(registry.get_model("risk/fraud@latest").version) == "1.2.0"


def test_threads_share_a_registry_from_its_first_question(opened: Opener) -> None:
    registry, ready = opened("bare"), threading.Barrier(8)
    answers: list[Any] = []

    def ask() -> None:
        ready.wait()
        answers.extend(registry.get_model("risk/fraud@prod").details for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 160
    assert all(each == answers[0] for each in answers)
