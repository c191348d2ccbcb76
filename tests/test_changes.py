"""What a commit changed, in the registry's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.access import Action
from gitreg.changes import Event, FileEntry, PathEdit, difference, pointer_action
from gitreg.deployment import Deployment
from gitreg.names import EnvironmentName, ModelName, Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANIFEST = """\
api_version: gitreg/v1
kind: ModelVersion
model: risk/fraud
version: 1.0.0
created: 2026-01-31T12:00:00Z
author: {name: Alice, email: alice@example.org}
external: {provider: acme, id: x}
lifecycle: active
"""
TOMBSTONE = f"""\
api_version: gitreg/v1
kind: Tombstone
model: risk/fraud
version: 1.0.0
manifest_digest: "sha256:{"0" * 64}"
reason: leak
"""
MODEL = "api_version: gitreg/v1\nkind: Model\nmodel: risk/fraud\ndescription: A model.\n"
POINTER = "api_version: gitreg/v1\nkind: Deployment\nenvironment: prod\nmodel: risk/fraud\nversion: 1.0.0\n"
VERSION_PATH, MODEL_PATH = "models/risk/fraud/1.0.0.yaml", "models/risk/fraud/model.yaml"
POINTER_PATH = "deployments/prod/risk/fraud.yaml"


class Files:
    """A state in memory."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def read(self, path: str) -> bytes | None:
        text = self.files.get(path)
        return None if text is None else text.encode()

    def names(self, _folder: str) -> Sequence[str]:
        return []


def _described(path: str, before: str | None, after: str | None) -> list[tuple[Event, str, tuple[Action, ...]]]:
    states = [{path: text} if text is not None else {} for text in (before, after)]
    sides = [FileEntry("100644", str(index), 1) if state else None for index, state in enumerate(states)]
    found = difference([PathEdit(path, *sides)], Files(states[0]), Files(states[1]))
    assert not found.problems
    return [(change.event, str(change), change.actions) for change in found.changes]


def _with(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("path", "before", "after", "event", "words", "actions"),
    [
        (VERSION_PATH, None, MANIFEST, Event.REGISTERED, "registered risk/fraud@1.0.0", (Action.REGISTER,)),
        (VERSION_PATH, MANIFEST, None, Event.REMOVED, "removed risk/fraud@1.0.0", (Action.DELETE,)),
        (VERSION_PATH, MANIFEST, TOMBSTONE, Event.DELETED, "deleted risk/fraud@1.0.0", (Action.DELETE,)),
        (VERSION_PATH, TOMBSTONE, MANIFEST, Event.RESTORED, "restored risk/fraud@1.0.0", (Action.REGISTER,)),
        (
            VERSION_PATH,
            TOMBSTONE,
            _with(TOMBSTONE, "leak", "other"),
            Event.TOMBSTONE_EDITED,
            "tombstone edited risk/fraud@1.0.0",
            (Action.REGISTER,),
        ),
        (
            VERSION_PATH,
            MANIFEST,
            MANIFEST + "license: MIT\nlabels: {a: b}\n",
            Event.UPDATED,
            "updated risk/fraud@1.0.0 (license, labels)",
            (Action.UPDATE,),
        ),
        (
            VERSION_PATH,
            MANIFEST,
            _with(MANIFEST, "active", "yanked"),
            Event.LIFECYCLE,
            "lifecycle risk/fraud@1.0.0 (active → yanked)",
            (Action.YANK,),
        ),
        (
            VERSION_PATH,
            _with(MANIFEST, "active", "archived"),
            MANIFEST,
            Event.LIFECYCLE,
            "lifecycle risk/fraud@1.0.0 (archived → active)",
            (Action.ARCHIVE,),
        ),
        (
            VERSION_PATH,
            MANIFEST,
            _with(MANIFEST, "active", "deprecated"),
            Event.UPDATED,
            "updated risk/fraud@1.0.0 (lifecycle)",
            (Action.UPDATE,),
        ),
        (MODEL_PATH, None, MODEL, Event.MODEL_CREATED, "model created risk/fraud", (Action.REGISTER,)),
        (MODEL_PATH, MODEL, None, Event.MODEL_REMOVED, "model removed risk/fraud", (Action.UPDATE,)),
        (
            MODEL_PATH,
            MODEL,
            MODEL + "task: ranking\n",
            Event.MODEL_UPDATED,
            "model updated risk/fraud (task)",
            (Action.UPDATE,),
        ),
        (
            MODEL_PATH,
            MODEL,
            MODEL + "aliases: {champion: 1.0.0}\n",
            Event.ALIASES_MOVED,
            "aliases moved risk/fraud (champion)",
            (Action.ALIAS,),
        ),
        (
            "models/risk/fraud/README.md",
            None,
            "# Card",
            Event.CARD_CHANGED,
            "model card changed risk/fraud",
            (Action.UPDATE,),
        ),
        (POINTER_PATH, None, POINTER, Event.POINTER, "prod: risk/fraud nothing → 1.0.0", (Action.DEPLOY,)),
        (
            POINTER_PATH,
            POINTER,
            POINTER + "canary_version: 1.1.0\ncanary_percent: 10\n",
            Event.POINTER,
            "prod: risk/fraud 1.0.0 → 1.0.0 (+10 % 1.1.0)",
            (Action.DEPLOY,),
        ),
        (
            POINTER_PATH,
            POINTER,
            None,
            Event.POINTER,
            "prod: risk/fraud 1.0.0 → nothing",
            (Action.ROLLBACK, Action.DEPLOY),
        ),
        ("README.md", None, "x", Event.FREE, "other file README.md", (Action.ADMIN,)),
        ("access.yaml", "x", "y", Event.ACCESS, "access rules access.yaml", (Action.ADMIN,)),
        ("registry.yaml", "x", "y", Event.SETTINGS, "settings registry.yaml", (Action.ADMIN,)),
        ("keys/allowed_signers", None, "y", Event.KEYS, "keys keys/allowed_signers", (Action.ADMIN,)),
    ],
)
def test_a_change_is_told_in_a_few_words(
    path: str, before: str | None, after: str | None, event: Event, words: str, actions: tuple[Action, ...]
) -> None:
    assert _described(path, before, after) == [(event, words, actions)]


def test_one_file_may_change_in_several_ways() -> None:
    after = _with(MODEL, "A model.", "Another.") + "aliases: {champion: 1.0.0}\n"
    assert [event for event, _, _ in _described(MODEL_PATH, MODEL, after)] == [Event.ALIASES_MOVED, Event.MODEL_UPDATED]
    both = _with(MANIFEST, "active", "yanked") + "license: MIT\n"
    assert [words for _, words, _ in _described(VERSION_PATH, MANIFEST, both)] == [
        "lifecycle risk/fraud@1.0.0 (active → yanked)",
        "updated risk/fraud@1.0.0 (license)",
    ]


def test_a_file_that_is_not_valid_is_a_problem_with_its_place() -> None:
    edit = PathEdit(MODEL_PATH, None, FileEntry("100644", "", 1))
    found = difference([edit], Files({}), Files({MODEL_PATH: "kind: Model\nmodel: [\n"}))
    assert not found.changes
    assert {problem.path for problem in found.problems} == {MODEL_PATH}
    stray = difference([PathEdit("models/x", None, FileEntry("100644", "", 1))], Files({}), Files({"models/x": ""}))
    assert len(stray.problems) == 1


def test_history_decides_what_a_change_of_a_pointer_was() -> None:
    def pointer(version: str) -> Deployment:
        return Deployment(
            environment=EnvironmentName("prod"), model=ModelName("risk", "fraud"), version=Version(version)
        )

    one, two = pointer("1.0.0"), pointer("2.0.0")
    assert pointer_action([], one, None) == "deploy"
    assert pointer_action([], one, "promote") == "promote"
    assert pointer_action([], one, "rollback") == "deploy"
    assert pointer_action([one, two], one, "promote") == "rollback"
    assert pointer_action([one], None, None) == "undeploy"
