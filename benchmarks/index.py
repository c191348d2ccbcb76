"""Build the index, follow main by one commit, and search; beside MLflow where it is installed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import subprocess
import time
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.generate import Blobs, git, manifest_text
from benchmarks.measure import Row, interleaved
from benchmarks.mlflow_store import VERSIONS, mlflow_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.setting import Setting
    from gitreg.registry import Registry

AIM = "the aim"
BRANCH = "refs/bench/index"
PAGE = 20
SAMPLE = 4_000
BUILD = 1.5  # times the parser's own time, divided by the cores
UPDATE = 0.1
SEARCH = 0.015
MEMORY = 1e9
SEARCHES = {
    "two conditions": (["metrics.auc > 0.85", "labels.team = {team}"], None),
    "two conditions, ordered": (["metrics.auc > 0.85", "labels.team = {team}"], "metrics.auc desc"),
    "two conditions that much meets, ordered": (["metrics.auc > 0.7", "metrics.f1 > 0.5"], "metrics.auc desc"),
    "what runs in prod, and a metric": (["deployed('prod')", "metrics.auc > 0.8"], None),
    "what ran in prod at a time": (["deployed('prod', at '2023-02-01')"], None),
    "a digest of a data set": (["dataset.digest = sha256:{digest}"], None),
    "either of two": (["metrics.auc > 0.899 or metrics.f1 > 0.899"], None),
    "full text": (["text('week {week}')"], None),
}


def run(setting: Setting) -> Iterator[Row]:
    """Time the index against the parser, and what it answers against the aims, on both registries."""
    from gitreg.registry import open_registry

    with contextlib.ExitStack() as stack:
        registries = {size: stack.enter_context(open_registry(setting.registry(size))) for size in setting.sizes}
        yield from _build(registries[setting.large], setting.large)
        yield from _update(registries, setting)
        for size, registry in registries.items():
            yield from _searches(registry, size, setting.repeats)
    yield from _mlflow(setting)


def _build(registry: Registry, size: int) -> Iterator[Row]:
    cores = os.cpu_count() or 1
    parser = _parser_seconds(registry, cores)
    began = time.perf_counter()
    state = registry.build_index(anew=True)
    taken = time.perf_counter() - began
    floor = f"parsing alone, over {cores} cores"
    what = f"index of {size:,} versions from nothing"
    yield Row(what=what, floor=floor, takes=taken, floor_takes=parser, target=BUILD)
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    yield Row(what="most memory of one process", floor=AIM, takes=most, floor_takes=MEMORY, target=1, unit="B")
    yield Row(what="its file", floor="the repository", takes=state.size, floor_takes=_bytes(registry), unit="B")


def _parser_seconds(registry: Registry, cores: int) -> float:
    """Parse some of the manifests in as many processes as there are cores, at once; give what all would take."""
    repository = registry.target.repository
    listed = repository.run(["ls-tree", "-r", "main", "models/"]).decode().splitlines()
    oids = [line.split()[2] for line in listed if not line.endswith(("/model.yaml", "/README.md"))]
    texts = [data for _, data in repository.objects.read_many(oids[:: max(1, len(oids) // SAMPLE)])]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        parts = [texts[core::cores] for core in range(cores)]
        pool.map(_parse, [part[:10] for part in parts], 1)  # each has its modules now
        return max(pool.map(_parse, parts, 1)) / len(texts) * len(oids)


def _parse(texts: list[bytes]) -> float:
    from gitreg.wire import load_plain

    began = time.perf_counter()
    for text in texts:
        load_plain(text)
    return time.perf_counter() - began


def _bytes(registry: Registry) -> int:
    """Measure the packs of a repository."""
    told = registry.target.repository.run(["count-objects", "-v"]).decode()
    return 1024 * int(next(line.split()[1] for line in told.splitlines() if line.startswith("size-pack:")))


def _update(registries: dict[int, Registry], setting: Setting) -> Iterator[Row]:
    """Follow one more commit after another; main itself stays where it is."""
    cases = {str(size): _one_more(registry, setting, size) for size, registry in registries.items()}
    taken = interleaved(cases, setting.repeats)
    for size in setting.sizes:
        what = f"index after one more commit, {size:,} versions"
        yield Row(what=what, floor=AIM, takes=taken[str(size)], floor_takes=UPDATE, target=1)
    yield Row(
        what=f"index after one more commit, {setting.large:,} versions",
        floor=f"{setting.small:,} versions",
        takes=taken[str(setting.large)],
        floor_takes=taken[str(setting.small)],
        target=2,
    )


def _one_more(registry: Registry, setting: Setting, size: int) -> Callable[[], float]:
    from gitreg.reader import Snapshot, indexing

    path, repository, model = setting.registry(size), registry.target.repository, setting.model(size)
    blobs, number = Blobs(path.parent / "store"), count(time.time_ns() // 1_000_000)
    tip = [registry.target.tip()]
    registry.build_index()

    def case() -> float:
        at = next(number)
        text = manifest_text(model, f"12.{at}.0", blobs, index=at).encode()
        tip[0] = _commit(path, tip[0], f"models/{model}/12.{at}.0.yaml", text)
        began = time.perf_counter()
        if indexing.update(Snapshot(repository, tip[0])) != 1:
            raise SystemExit("the index did not read one file")
        return time.perf_counter() - began

    return case


def _commit(repository: Path, parent: str, path: str, text: bytes) -> str:
    """Commit a file on a branch of the benchmark's own."""
    who = f"committer Root <root@example.org> {int(time.time())} +0000"  # after all that main has
    head = f"commit {BRANCH}\n{who}\ndata 9\nRegister\n\nfrom {parent}\n"
    stream = f"{head}M 100644 inline {path}\ndata {len(text)}\n".encode() + text + b"\n"
    subprocess.run(["git", "-C", repository, "fast-import", "--quiet", "--force"], input=stream, check=True)
    return git(repository, "rev-parse", BRANCH)


def _searches(registry: Registry, size: int, repeats: int) -> Iterator[Row]:
    found = registry.search("size > 0", limit=1)  # brings the index back to main
    known = _known(registry, f"{found[0].model}@{found[0].version}")

    def case(conditions: list[str], order: str | None) -> Callable[[], None]:
        texts = [each.format(**known) for each in conditions]

        def search() -> None:
            registry.search(texts, order_by=order, limit=PAGE)

        return search

    taken = interleaved({name: case(*each) for name, each in SEARCHES.items()}, repeats)
    for name in SEARCHES:
        what = f"search for {name}, {size:,} versions"
        yield Row(what=what, floor=AIM, takes=taken[name], floor_takes=SEARCH, target=1)


def _known(registry: Registry, name: str) -> dict[str, str]:
    """Take values out of a version, to search for."""
    manifest = registry.show(name).manifest
    dataset = manifest.training.datasets[0] if manifest.training else None
    if dataset is None or dataset.digest is None or dataset.version is None:
        raise SystemExit(f"{name} has no data set that could be searched for")
    team = str(manifest.labels["team"])
    return {"team": team, "digest": dataset.digest.hex, "week": dataset.version.removeprefix("week-")}


def _mlflow(setting: Setting) -> Iterator[Row]:
    """Time MLflow's first page of two conditions over its own SQLite, in turns with nothing: it is another process."""
    taken = mlflow_seconds(setting, "search", PAGE)
    if taken is not None:
        what = f"MLflow's search for two conditions, {VERSIONS:,} versions"
        yield Row(what=what, floor=AIM, takes=taken, floor_takes=SEARCH)
