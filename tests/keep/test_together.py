"""gc beside uploads, and killed at any moment: nothing that a version needs is ever lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import GitregError
from gitreg.registry import open_registry
from gitreg.registry.carrying import unbundle
from tests.keep.conftest import register
from tests.registries import request

if TYPE_CHECKING:
    from gitreg.registry import Registry
    from tests.keep.conftest import Shelf
    from tests.registries import Forge

_GC = """
import sys
from gitreg.registry import open_registry
from gitreg.registry.carrying import unbundle
with open_registry(sys.argv[1]) as registry:
    print("ready", flush=True)
    registry.gc(dry_run=False, grace="0", trash="0")
"""


def test_gc_killed_anywhere_loses_nothing_and_is_made_good_by_the_next(
    bare: Registry, shelf: Shelf, forge: Forge
) -> None:
    digest = register(bare, b"needed", "1.0.0")
    needed = shelf.blobs()
    for number in range(50):
        data = f"orphan {number}".encode()
        path = shelf.path(Digest.of(data))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)  # as a store does, but without waiting for the disk
    for moved in (1, 15, 40):
        process = subprocess.Popen([sys.executable, "-c", _GC, str(forge.bare)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        while len(shelf.trash()) < moved and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert needed <= shelf.blobs()
    assert bare.fsck(deep=True)[0].is_sound
    bare.gc(dry_run=False, grace="0")
    bare.gc(dry_run=False, grace="0", trash="0")
    assert (shelf.blobs(), shelf.trash()) == (needed, set())
    with shelf.store.open(digest) as source:
        assert Digest.of(source.read()) == digest


def test_gc_beside_uploads_of_what_lay_there_as_orphans(forge: Forge, shelf: Shelf) -> None:
    """The worst case: every blob is there already, old and unneeded, so no upload sends it."""
    versions = 5
    data = [f'"weights {number}"'.encode() for number in range(versions)]
    for each in data:
        shelf.put(each)
    shelf.age()
    stop = threading.Event()
    problems: list[BaseException] = []

    def collect() -> None:
        with open_registry(forge.bare) as registry:
            while not stop.is_set():
                try:
                    registry.gc(dry_run=False, grace="1h")
                except GitregError as error:
                    problems.append(error)

    thread = threading.Thread(target=collect)
    thread.start()
    refused = 0
    try:
        with open_registry(forge.bare) as registry:
            for number, each in enumerate(data):
                path = Path(f"{number}.json")
                path.write_bytes(each)
                for _ in range(20):
                    try:
                        registry.register(request("risk/other", f"1.0.{number}", paths=(path,)))
                        break
                    except GitregError as error:
                        assert "not in the object store" in str(error)  # noqa: PT017 - the one refusal there may be
                        refused += 1
    finally:
        stop.set()
        thread.join()
    assert problems == []
    with open_registry(forge.bare) as registry:
        registry.gc(dry_run=False, grace="1h")
        [checked] = registry.fsck(deep=True)
        assert len(registry.versions("risk/other")) == versions
    assert checked.damage == ()
    assert refused <= versions


_UNBUNDLE = """
import sys
from pathlib import Path
from gitreg.registry.carrying import unbundle
print("ready", flush=True)
unbundle(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_unbundle_killed_anywhere_leaves_no_registry_or_a_guarded_one(bare: Registry, tmp_path: Path) -> None:
    written = bare.bundle([], tmp_path / "out")
    far = tmp_path / "far" / "registry.git"
    chooser = random.Random(11)
    for _ in range(4):
        command = [sys.executable, "-c", _UNBUNDLE, str(written.path), str(far)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chooser.uniform(0.05, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if far.exists():
            assert {path.name for path in (far / "hooks").iterdir()} >= {"pre-receive", "post-receive"}
    unbundle(written.path, far)
    with open_registry(far) as registry:
        assert all(finding.fine for finding in registry.doctor())
        assert registry.fsck(deep=True)[0].is_sound
