"""Serve the pages of one registry for all tests, and open one browser to look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.registry.example import example_folder
from gitreg.wire import dump
from tests.pages.served import Visitor, example, pages_of, token
from tests.servers.programs import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

RUN = "window.ran = true"
SCRIPT = f"<script>{RUN}</script>"
MANY = 60
LONG = "an-alias-that-is-as-long-as-a-name-may-be-which-is-of-63-letters"[:63]
HOSTILE_CARD = f"""\
# A card {SCRIPT}

<img src=x onerror="{RUN}"> <svg onload="{RUN}"></svg> <a href="javascript:{RUN}">raw</a> [link](javascript:{RUN})
![picture](https://example.org/spy.png "{RUN}") <iframe srcdoc="{SCRIPT}"></iframe>
<style>body {{ display: none }}</style>
<form action=/ui/sign-out method=post><button>Sign out</button></form> <p id=main onclick="{RUN}">text</p>
[inside](/ui/sign-out) <base href=//example.org/> <meta http-equiv=refresh content="0;url=//example.org">

| a | b |
|---|---|
| `{SCRIPT}` | **bold** |
"""


def _model(name: str, description: str, **more: object) -> tuple[str, bytes]:
    data = {"api_version": "gitreg/v1", "kind": "Model", "model": name, "description": description, **more}
    return f"models/{name}/model.yaml", dump(data)


def _version(name: str, number: str, **more: object) -> tuple[str, bytes]:
    data = {
        "api_version": "gitreg/v1",
        "kind": "ModelVersion",
        "model": name,
        "version": number,
        "created": "2026-10-22T08:00:00Z",
        "author": {"name": f"Mallory {SCRIPT}", "email": "mallory@example.org"},
        "external": {"provider": f"somebody {SCRIPT}", "id": "x", "endpoint": f"javascript:{RUN}"},
        "license": "Apache-2.0",
        "lifecycle": "active",
        **more,
    }
    return f"models/{name}/{number}.yaml", dump(data)


def _hostile() -> dict[str, bytes | None]:
    dataset = {"name": f"dana's set {SCRIPT}", "version": "1", "uri": f"javascript:{RUN}"}
    training = {"datasets": [dataset], "hyperparameters": {"recipe": f'"{SCRIPT}', "deep": [f"'{SCRIPT}"]}}
    files = dict(
        [
            _model(
                "lab/hostile",
                f'A "model" {SCRIPT}',
                labels={"team": f"'{SCRIPT}"},
                task=f"{SCRIPT}",
                aliases={LONG: "1.1.0"},
            ),
            _version("lab/hostile", "1.0.0", training=training, metrics={"auc": 0.5}, description=SCRIPT),
            _version(
                "lab/hostile",
                "1.1.0",
                training=training,
                metrics={"auc": 0.75, "x": 1.0},
                labels={"l": f'"{SCRIPT}'},
                base={"uri": f"javascript:{RUN}"},
            ),
        ]
    )
    return {**files, "models/lab/hostile/README.md": HOSTILE_CARD.encode()}


def _pointer() -> dict[str, bytes | None]:
    kept = {"api_version": "gitreg/v1", "environment": "staging", "model": "lab/hostile", "version": "1.1.0"}
    told = {"state": "failed", "reported": "2026-10-22T09:00:00Z", "detail": SCRIPT}
    return {
        "deployments/staging/lab/hostile.yaml": dump({**kept, "kind": "Deployment"}),
        "status/staging/lab/hostile.yaml": dump({**kept, "kind": "Status", **told}),
    }


def _many() -> dict[str, bytes | None]:
    names = [f"many/m{number:02}" for number in range(MANY)]
    files = dict(_model(name, "One of many.") for name in names)
    return {**files, **dict(_version("many/m00", f"1.{number}.0") for number in range(MANY))}


def _guest() -> dict[str, bytes | None]:
    rules = (example_folder() / "access.yaml").read_text("utf-8")
    grant = "grants:\n  - {to: [guest], actions: [read], models: [cellar/*]}\n"
    return {"access.yaml": rules.replace("grants:\n", grant).encode()}


@pytest.fixture(scope="session")
def git_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the example registry, with a hostile model, sixty small ones, and a guest who may read one project."""
    folder = tmp_path_factory.mktemp("pages")
    pointed = (f"Deploy lab/hostile@1.1.0 to staging\n\nReason: {SCRIPT}\n", _pointer())
    return example(folder, ("Hostile", _hostile()), pointed, ("Many", _many()), ("Guest", _guest()))


@pytest.fixture(scope="session")
def address(git_dir: Path) -> Iterator[str]:
    """Serve the pages."""
    with pages_of(git_dir) as found:
        yield found


@pytest.fixture(scope="session")
def visitor(git_dir: Path, address: str) -> Iterator[Callable[[str], Visitor]]:
    """Ask for pages as a user, without a browser."""
    known: dict[str, Visitor] = {}

    def visit(user: str) -> Visitor:
        if user not in known:
            known[user] = Visitor(address, token(git_dir, user))
        return known[user]

    yield visit
    for each in known.values():
        each.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium. Meanwhile Playwright keeps an event loop in this thread: it ends with its module."""
    path = program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        # As root its own sandbox cannot be set up; what it shows here is of the tests alone.
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()
