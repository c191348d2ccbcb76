"""The command line publishes an index, tells whether it is current, and reads it as it is told to trust."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from gitreg.cli.boundary import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gitreg.registry import Registry
    from tests.published.conftest import Web
    from tests.registries import Forge


def _json(capsys: pytest.CaptureFixture[str], *args: object) -> object:
    assert run([*map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_published_is_listed(
    bare: Registry, forge: Forge, web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--registry", str(forge.bare), "index", "publish", "--to", str(web.folder)]) == 0
    assert "files written: 5" in capsys.readouterr().out
    listed = _json(capsys, "--registry", web.url, "list")
    assert listed == _json(capsys, "--registry", forge.bare, "list")


def test_a_check_tells_by_its_exit_code(bare: Registry, forge: Forge, web: Web) -> None:
    check = ["--registry", str(forge.bare), "index", "publish", "--to", str(web.folder), "--check"]
    assert run(check) == 3
    bare.publish_index(str(web.folder))
    assert run(check) == 0
    bare.alias("risk/fraud@1.0.0", "old")
    assert run(check) == 4


def test_trust_is_asked_for_on_the_command_line(
    bare: Registry, forge: Forge, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, signers = tmp_path / "key", tmp_path / "signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers.write_text(
        f'publisher namespaces="gitreg-index" {" ".join((tmp_path / "key.pub").read_text().split()[:2])}\n'
    )
    publish = ["--registry", str(forge.bare), "index", "publish", "--to", str(web.folder)]
    read = ["--registry", web.url, "--trust", str(signers), "list"]
    assert run(publish) == 0
    assert run(read) == 5
    assert "is not signed" in capsys.readouterr().err
    assert run([*publish, "--sign", str(key)]) == 0
    assert run(read) == 0
    assert run(["--registry", str(forge.bare), "--trust", str(signers), "list"]) == 5


def test_git_config_names_the_trusted_keys(published: Registry, web: Web, home: Path) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write(f"[gitreg]\nindextrust = {home}/nobody\n")
    assert run(["--registry", web.url, "list"]) == 3
