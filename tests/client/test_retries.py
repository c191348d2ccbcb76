from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import gitreg
from gitreg import NotFoundError, UnavailableError
from gitreg.registry import open_registry
from tests.client.front import BUSY, BUSY_AFTER, CUT, CUT_AFTER, Front, standing
from tests.server.githttp.site import make_registry
from tests.server.rest.client import serve

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg import Registry
    from tests.server.rest.client import Rest


def _commits(served: Rest, name: str) -> list[str]:
    with open_registry(served.path) as here:
        return [entry.subject for entry in here.log(name)]


@pytest.mark.parametrize("fault", [CUT, BUSY, CUT_AFTER, BUSY_AFTER])
def test_a_read_is_asked_again(served: Rest, registry: Registry, front: Front, fault: str) -> None:
    name = served.model("1.0.0")
    registry.models()
    front.faults += [fault, fault]
    assert str(registry.show(f"{name}@latest").manifest.version) == "1.0.0"


@pytest.mark.parametrize("fault", [CUT, BUSY, CUT_AFTER, BUSY_AFTER])
def test_a_write_is_done_once_however_often_it_is_sent(
    served: Rest, registry: Registry, front: Front, fault: str
) -> None:
    name = served.model("1.0.0")
    registry.models()
    front.seen.clear()
    front.faults += [fault, fault]
    written = registry.deploy(f"{name}@1.0.0", "staging")
    assert written.commit
    ways = front.ways("POST")
    assert len(ways) == 3
    assert len({headers["idempotency-key"] for headers in ways}) == 1
    assert _commits(served, name) == [f"Deploy {name}@1.0.0 to staging", f"Register {name} 1.0.0"]


def test_a_download_begins_again(
    served: Rest, registry: Registry, front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = served.store(b"comes in the end")
    name = served.model("1.0.0", artifacts=[{"path": "model.bin", **file}])
    faults = [CUT, BUSY, CUT_AFTER]

    def before() -> None:
        if faults and "/files/model.bin" in front.seen[-1][1]:
            front.faults.append(faults.pop(0))

    monkeypatch.setattr(front, "before", before)
    monkeypatch.setattr("gitreg.client.http._PAUSES", (0.01, 0.01, 0.01))
    folder = registry.get_model(f"{name}@1.0.0").download(tmp_path / "out")
    assert (folder / "model.bin").read_bytes() == b"comes in the end"
    assert not faults


def test_a_connection_that_was_long_unused_is_not_used(
    registry: Registry, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.models()
    monkeypatch.setattr("gitreg.connections._FRESH", -1.0)
    front.faults += [CUT_AFTER]
    assert registry.models()


def test_two_calls_are_two_writes(served: Rest, registry: Registry, front: Front) -> None:
    name = served.model("1.0.0", "1.1.0")
    for version in ("1.0.0", "1.1.0"):
        registry.deploy(f"{name}@{version}", "staging")
    assert len({headers["idempotency-key"] for headers in front.ways("POST")}) == 2


def test_a_server_that_comes_back_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server" / "models.git"
    path.parent.mkdir()
    make_registry(path)
    with standing() as front:
        with serve(path) as first:
            monkeypatch.setenv("GITREG_TOKEN", first.token("root"))
            front.to = first.port
            registry = gitreg.open(front.url)
            assert registry.models()
        front.to = None
        with registry, serve(path) as second:
            front.seen.clear()

            def revive() -> None:
                front.to = second.port if len(front.seen) > 2 else None

            front.before = revive
            assert registry.alias("risk/fraud@1.0.0", "champion").commit
            assert len(front.ways("POST")) == 3


def test_a_server_that_stays_away_is_given_up(
    registry: Registry, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.models()
    monkeypatch.setattr("gitreg.client.http.PATIENCE", 0.2)
    front.to = None
    with pytest.raises(UnavailableError, match="cannot be reached"):
        registry.models()
    with pytest.raises(UnavailableError, match="is not known"):
        registry.deploy("risk/fraud@1.0.0", "staging")


def test_what_nobody_ever_answered_is_not_asked_again() -> None:
    with standing() as front:
        from gitreg.client import Http

        with pytest.raises(UnavailableError, match="cannot be reached"):
            Http(front.url).get("/")
        assert len(front.seen) == 1


def test_a_refusal_is_not_asked_again(registry: Registry, front: Front) -> None:
    registry.models()
    front.seen.clear()
    with pytest.raises(NotFoundError):
        registry.deploy("risk/fraud@1.0.0", "nowhere")
    assert len(front.ways("POST")) == 1


def test_a_long_wait_is_not_waited_for(registry: Registry, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.models()
    monkeypatch.setattr(front, "says", lambda _: (429, {"retry-after": "99999"}, b""))
    with pytest.raises(UnavailableError, match="429"):
        registry.models()
