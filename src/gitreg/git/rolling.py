"""Bring small packs together, quickly however large the repository is."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError
from gitreg.git.importing import sync_folder
from gitreg.git.process import failure
from gitreg.git.upkeep import alone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.git.repository import Repository

_NICE = 10
_KEEPING = (".keep", ".bitmap", ".promisor", ".mtimes")
# Object ids come without their paths here, and so what is like them lies right beside them or nowhere: a search among
# ten takes twice the time and saves two bytes in a hundred.
_HOW = ("--window=2", "--delta-base-offset")
_FANOUT = 8
_NAMES = _FANOUT + 4 * 256


def roll_up(repository: Repository) -> None:
    """Make one pack of many small ones, and nothing else; ConflictError where the upkeep is under way.

    `git repack --geometric` follows each commit of them through all of its trees: seconds in a large repository. Here
    what they hold is all that is read.
    """
    with alone(repository.common_dir / "gitreg"):
        folder = repository.common_dir / "objects" / "pack"
        small = small_packs(folder)
        if len(small) < 2:  # noqa: PLR2004 - one pack is together
            return
        oids = [oid for pack in small for oid in objects_of(pack, repository.oid_length // 2)]
        made = _packed(repository, folder, oids)
        sync_folder(folder)  # the new pack has its name before the old ones lose theirs
        for pack in small:
            if pack.stem != f"pack-{made}":
                for ending in (".idx", ".pack", ".rev"):
                    pack.with_suffix(ending).unlink(missing_ok=True)


def _packed(repository: Repository, folder: Path, oids: Sequence[str]) -> str:
    """Write one pack of these objects, without being in the way of who waits for an answer; give its name."""
    args = ["pack-objects", "--quiet", "--threads=1", *_HOW, str(folder / "pack")]
    with repository.runner.start(args, stdin=True) as process:
        try:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
            output, errors = process.communicate("".join(f"{oid}\n" for oid in oids).encode())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise failure(args, process.returncode, errors.decode("utf-8", "replace"))
    return output.decode().strip()


def small_packs(folder: Path) -> list[Path]:
    """Name the packs to bring together: each no larger than twice the smaller ones, so that none is copied often.

    Those that somebody keeps, or that an index of many packs names, stay.
    """
    indexed = _indexed(folder / "multi-pack-index")
    free = [each for each in free_packs(folder) if each.stem.encode() not in indexed]
    found: list[Path] = []
    total = 0
    for size, pack in sorted((each.stat().st_size, each) for each in free):
        if found and size > 2 * total:
            break
        found.append(pack)
        total += size
    return found


def free_packs(folder: Path) -> list[Path]:
    """Name the packs that are whole and that nobody keeps, as fast-import does until it ends."""
    names = {each.name for each in folder.iterdir()}
    stems = [name.removesuffix(".pack") for name in names if name.startswith("pack-") and name.endswith(".pack")]
    return [
        folder / f"{stem}.pack"
        for stem in stems
        if f"{stem}.idx" in names and not any(f"{stem}{ending}" in names for ending in _KEEPING)
    ]


def objects_of(pack: Path, oid_bytes: int) -> list[str]:
    """Name the objects of a pack, out of its index: gitformat-pack(5), version 2."""
    data = pack.with_suffix(".idx").read_bytes()
    if data[:_FANOUT] != b"\xfftOc\0\0\0\2":
        raise IntegrityError(f"{pack.with_suffix('.idx')} is no index of a pack", hint="run `git fsck`")
    count = int.from_bytes(data[_NAMES - 4 : _NAMES])
    names, width = data[_NAMES : _NAMES + count * oid_bytes].hex(), 2 * oid_bytes
    return [names[at : at + width] for at in range(0, len(names), width)]


def _indexed(path: Path) -> set[bytes]:
    """Name the packs in an index of many packs, without their endings: gitformat-pack(5)."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            table = file.read(12 * (head[6] + 1))
            places = {table[at : at + 4]: int.from_bytes(table[at + 4 : at + 12]) for at in range(0, len(table), 12)}
            start = places[b"PNAM"]
            file.seek(start)
            names = file.read(min(each for each in places.values() if each > start) - start)
    except FileNotFoundError:
        return set()
    return {name.rpartition(b".")[0] for name in names.split(b"\0") if name}
