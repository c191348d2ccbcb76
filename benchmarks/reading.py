"""Read every manifest, and see where the time goes: git, YAML, the schema."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import yaml

from benchmarks.generate import git
from benchmarks.measure import Row, interleaved, process
from benchmarks.mlflow_store import VERSIONS, mlflow_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.setting import Setting
    from gitreg.registry import Registry

SAMPLE = 200
AIM = "the aim"
GET = 0.0005
AGAIN = 20


def run(setting: Setting) -> Iterator[Row]:
    """Time one answer of a registry that stays open, reading against git alone, and validating against parsing."""
    yield from _warm(setting)
    repository = setting.registry(setting.large)
    oids = _manifests(repository)
    yield from _all(repository, oids)
    yield from _each(repository, oids[:: max(1, len(oids) // SAMPLE)][:SAMPLE], setting.repeats)
    yield from _ready(setting)


def _warm(setting: Setting) -> Iterator[Row]:
    """Ask registries that stay open what runs in prod, again and again."""
    from gitreg.registry import open_registry

    def case(registry: Registry, selector: str) -> Callable[[], None]:
        def get() -> None:
            registry.get_model(selector)

        return get

    with contextlib.ExitStack() as stack:
        registries = {size: stack.enter_context(open_registry(setting.registry(size))) for size in setting.sizes}
        cases = {str(size): case(each, f"{setting.model(size)}@prod") for size, each in registries.items()}
        taken = interleaved(cases, AGAIN * setting.repeats)
    for size in setting.sizes:
        what = f"registry.get_model(M@prod), {size:,} versions"
        yield Row(what=what, floor=AIM, takes=taken[str(size)], floor_takes=GET, target=1)
    peer = mlflow_seconds(setting, "get")
    if peer is not None:
        what = f"MLflow's get_model_version_by_alias, {VERSIONS:,} versions"
        yield Row(what=what, floor="the line above", takes=peer, floor_takes=taken[str(setting.large)])


def _manifests(repository: Path) -> list[str]:
    listed = git(repository, "ls-tree", "-r", "main", "models/").splitlines()
    return [line.split()[2] for line in listed if not line.endswith(("/model.yaml", "/README.md"))]


def _all(repository: Path, oids: list[str]) -> Iterator[Row]:
    from gitreg.git import Repository
    from gitreg.manifest import version_from_data
    from gitreg.wire import load_plain

    wanted = "\n".join(oids).encode() + b"\n"

    def floor() -> None:
        command = ["git", "-C", str(repository), "cat-file", "--batch", "--buffer"]
        subprocess.run(command, input=wanted, stdout=subprocess.DEVNULL, check=True)

    def read(understand: Callable[[bytes], object]) -> Callable[[], None]:
        def case() -> None:
            with Repository.open(repository) as opened:
                for _, data in opened.objects.read_many(oids):
                    understand(data)

        return case

    cases = {"floor": floor, "bytes": read(len), "values": read(lambda data: version_from_data(load_plain(data)))}
    taken = interleaved(cases, 1, warm=0)
    for what, name in (("their bytes, through gitreg", "bytes"), ("as values", "values")):
        yield Row(
            what=f"reading {len(oids):,} manifests, {what}",
            floor="git cat-file --batch --buffer",
            takes=taken[name],
            floor_takes=taken["floor"],
        )


def _each(repository: Path, oids: list[str], repeats: int) -> Iterator[Row]:
    import jsonschema
    import jsonschema_rs

    from gitreg.git import Repository
    from gitreg.schema import Kind, is_valid, schema
    from gitreg.wire import load, load_plain

    with Repository.open(repository) as opened:
        texts = [data for _, data in opened.objects.read_many(oids)]
    values = [load_plain(text) for text in texts]
    reference = jsonschema.Draft202012Validator(schema(Kind.MANIFEST))
    compiled = jsonschema_rs.Draft202012Validator(schema(Kind.MANIFEST))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def each(act: Callable[[int], object]) -> Callable[[], float]:
        def case() -> float:
            began = time.perf_counter()
            for index in range(len(values)):
                act(index)
            return (time.perf_counter() - began) / len(values)

        return case

    taken = interleaved(
        {
            "yaml": each(lambda index: yaml.load(texts[index], Loader=loader)),  # noqa: S506 - a safe loader
            "plain": each(lambda index: load_plain(texts[index])),
            "marks": each(lambda index: load(texts[index])),
            "own": each(lambda index: is_valid(Kind.MANIFEST, values[index])),
            "compiled": each(lambda index: compiled.is_valid(values[index])),
            "reference": each(lambda index: reference.is_valid(values[index])),
        },
        max(3, repeats // 3),
    )
    floor = "PyYAML's C loader, a manifest"
    yield Row(what="strict YAML, a manifest", floor=floor, takes=taken["plain"], floor_takes=taken["yaml"])
    yield Row(what="strict YAML with positions", floor=floor, takes=taken["marks"], floor_takes=taken["yaml"])
    floor = "jsonschema-rs, a manifest"
    yield Row(what="our validator, a manifest", floor=floor, takes=taken["own"], floor_takes=taken["compiled"])
    yield Row(what="jsonschema, a manifest", floor=floor, takes=taken["reference"], floor_takes=taken["compiled"])


def _ready(setting: Setting) -> Iterator[Row]:
    """Compare how long each validator takes until it can judge the first manifest."""
    path = json.dumps(str(_schema_path()))
    own = f"import json; from gitreg.schema.decide import decider; decider(json.load(open({path})))({{}})"
    compiled = f"import json, jsonschema_rs; jsonschema_rs.Draft202012Validator(json.load(open({path})))"
    reference = f"import json, jsonschema; jsonschema.Draft202012Validator(json.load(open({path}))).is_valid({{}})"
    commands = {"floor": "pass", "own": own, "compiled": compiled, "reference": reference}
    taken = interleaved(
        {name: process([sys.executable, "-c", text], setting.environment) for name, text in commands.items()},
        setting.repeats,
    )
    ready = {name: taken[name] - taken["floor"] for name in commands if name != "floor"}
    for what, name in (("our validator", "own"), ("jsonschema", "reference")):
        yield Row(
            what=f"{what}, getting ready",
            floor="jsonschema-rs, getting ready",
            takes=ready[name],
            floor_takes=ready["compiled"],
        )


def _schema_path() -> Path:
    from gitreg.resources import resource

    return resource("schemas") / "manifest.schema.json"
