"""Send a large file to a bucket and pull it from there, beside what obstore takes to move the same bytes unlooked at.

It runs where `GITREG_BENCH_STORE` names a store, as `s3://bucket/prefix`, with its credentials and endpoint in the
platform's usual variables; what it sends, it removes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

import obstore

from benchmarks.measure import Peak, Row, interleaved
from gitreg.objects import Cache, StoredFile, pull
from gitreg.objects.addresses import open_store
from gitreg.objects.cloud import CloudBucket
from gitreg.objects.recipes import blob_key, chunks_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from obstore.store import ObjectStore

    from benchmarks.setting import Setting
    from gitreg.objects import Store

STORE = "GITREG_BENCH_STORE"
MEBIBYTES = 512
REPEATS = 3
SHARE = 1 / 0.9  # of the time that the library takes
MEMORY = 200 << 20  # bytes
_RAW = "bench/raw"


def run(setting: Setting) -> Iterator[Row]:
    """Time the store's own way in and out against the same client alone, in turns."""
    uri = os.environ.get(STORE)
    if not uri:
        print(f"clouds are left out: {STORE} names no store")
        return
    folder = setting.folder / "cloud"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = open_store(uri, folder)
    yield from _measured(store, folder)
    shutil.rmtree(folder)


def _measured(store: Store, folder: Path) -> Iterator[Row]:
    file = folder / "weights.bin"
    sent: list[StoredFile] = []

    def send() -> None:
        blob = store.put_file(file)
        sent.append(StoredFile(file.name, blob.digest, blob.size, "other"))

    def bring() -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        shutil.rmtree(folder / "to", ignore_errors=True)
        pull(sent[-1:], store, Cache(folder / "cache"), folder / "to")

    with Peak(os.getpid(), b"") as peak:
        # Other bytes each time: a blob that is there is not sent.
        sending: dict[str, Callable[[], None]] = {
            "made": lambda: _made(file),
            "obstore": lambda: _put(store, file),
            "gitreg": send,
            "SHA-256": lambda: _hash(file),
        }
        up = interleaved(sending, REPEATS)
        pulling: dict[str, Callable[[], None]] = {
            "obstore": lambda: _get(store),
            "to a file": lambda: _get(store, folder / "raw"),
            "gitreg": bring,
        }
        down = interleaved(pulling, REPEATS)
    what = f"{MEBIBYTES} MiB to {store.uri.partition(':')[0]}"
    yield Row(what=f"sending {what}", floor="obstore", takes=up["gitreg"], floor_takes=up["obstore"], target=SHARE)
    both = up["obstore"] + up["SHA-256"]
    yield Row(what=f"sending {what}", floor="SHA-256, then obstore", takes=up["gitreg"], floor_takes=both)
    what = what.replace(" to ", " from ")
    yield Row(
        what=f"pulling {what}",
        floor="obstore, to a file",
        takes=down["gitreg"],
        floor_takes=down["to a file"],
        target=SHARE,
    )
    yield Row(what=f"pulling {what}", floor="obstore, to nowhere", takes=down["gitreg"], floor_takes=down["obstore"])
    yield Row(what="both, most memory", floor="200 MiB", takes=peak.bytes, floor_takes=MEMORY, target=1, unit="B")
    store.bucket.delete(_RAW)
    for each in sent:
        for key in (blob_key(each.digest), chunks_key(each.digest)):
            store.bucket.delete(key)


def _made(file: Path) -> None:
    with file.open("wb") as sink:
        for _ in range(MEBIBYTES):
            sink.write(os.urandom(1 << 20))


def _hash(file: Path) -> None:
    with file.open("rb") as source:
        hashlib.file_digest(source, "sha256")


def _client(store: Store) -> ObjectStore:
    bucket = store.bucket
    if not isinstance(bucket, CloudBucket):
        raise SystemExit(f"{STORE} names no bucket, but {store.uri}")
    return bucket.store


def _put(store: Store, file: Path) -> None:
    obstore.put(_client(store), _RAW, file, use_multipart=True)


def _get(store: Store, to: Path | None = None) -> None:
    pieces = obstore.get(_client(store), _RAW).stream(min_chunk_size=4 << 20)
    if to is None:
        for _ in pieces:
            pass
        return
    with to.open("wb") as sink:
        for piece in pieces:
            sink.write(piece)
