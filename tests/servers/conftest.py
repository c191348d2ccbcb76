from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.sshd import Sshd, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sshd(tmp_path: Path, home: Path) -> Iterator[Sshd]:
    """Run an OpenSSH server whose sessions have the test's home; no variable of the client's passes."""
    with running(tmp_path / "sshd", set_env={"HOME": str(home)}) as server:
        yield server
