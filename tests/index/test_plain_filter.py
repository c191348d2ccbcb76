"""Random searches against a plain filter over all manifests: `GITREG_SEARCHES=1000` asks more of them."""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import InvalidError
from gitreg.git import Repository
from gitreg.index.pages import Query
from gitreg.reader import Snapshot
from gitreg.registry.search import search
from tests.index import plain
from tests.index.conftest import START, Writer, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SEARCHES = int(os.environ.get("GITREG_SEARCHES", "60"))
HEAD = {"api_version": "gitreg/v1"}
# One model with many versions, many with few; names that begin alike.
MODELS = {
    "a/one": 70,
    "a/one.two": 3,
    "a/one-two": 0,
    "b/x": 1,
    "b/x1": 12,
    "b-c/x": 5,
    **{f"z/m{n}": 2 for n in range(20)},
}
WORDS = ("ledger", "Ledger 50%", "It's_odd", "Größe", "größe", "a*b", "[x]", "and or", "", "MIT", "x" * 300)
CARDS = ("# Card\n\nFinds insults.", "Scores the ledger; insults nobody.", None)


@dataclass
class World:
    """A registry, and what its files say, in the order of answers."""

    folder: Path
    tip: str
    versions: list[plain.Version]


def some(chance: random.Random, **fields: Sequence[Any]) -> dict[str, Any]:
    """Choose of each field a value; None leaves it out."""
    found = {name: chance.choice(values) for name, values in fields.items()}
    return {name: value for name, value in found.items() if value is not None}


def manifest(chance: random.Random, model: str, version: str, before: Sequence[str]) -> dict[str, Any]:
    score = (0.1, 0.25, 0.5, 0.75, 0.9, 1, 0, -3.5, 1e-9, 2e12)
    digests = [f"sha256:{n:064x}" for n in range(6)]
    dataset = {"name": WORDS[:4], "version": ("2026.01", "1", None), "digest": (*digests, None)}

    def entry() -> dict[str, Any]:
        return some(chance, **dataset, uri=("s3://d/ledger", None))

    def numbers(*names: str) -> dict[str, Any]:
        return {name: chance.choice(score) for name in names if chance.random() < 0.7}

    def evaluation() -> dict[str, Any]:
        return {
            "dataset": entry(),
            **some(chance, split=("test", "dev", None)),
            "metrics": {"n": 1, **numbers("auc", "f1")},
        }

    files = [
        some(chance, digest=digests, size=(0, 1, 4096, 2**40), format=("onnx", "gguf", None)) | {"path": f"{n}/{name}"}
        for n, name in enumerate(chance.sample(("Model.bin", "model.onnx", "config.json"), chance.randrange(1, 4)))
    ]
    training = {
        **some(chance, framework=({"name": "pytorch", "version": "2"}, {"name": "PyTorch"}, None)),
        **some(chance, code=({"commit": "a" * 40}, {"commit": "b" * 40, "repository": "https://x.example"}, None)),
        "datasets": [entry() for _ in range(chance.randrange(4))],
        "hyperparameters": some(chance, epochs=(1, 20, 20.0, "20", "many", True, [1], None)),
    }
    content: dict[str, Any] = {"artifacts": files}
    if chance.random() < 0.2:
        content = {"external": {"provider": chance.choice(("acme", "Acme")), "id": "x"}}
    data = {
        **HEAD, "kind": "ModelVersion", "model": model, "version": version,
        "created": chance.choice(("2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z", "2024-02-29T12:30:00Z")),
        "author": {"name": chance.choice(("Alice Doe", "ålice")), "email": chance.choice(("a@x.example", "b@x.io"))},
        **content, "training": {name: value for name, value in training.items() if value},
        "metrics": numbers("auc", "f1 macro"), "evaluations": [evaluation() for _ in range(chance.randrange(4))],
        "labels": some(chance, team=(*WORDS, None), **{"cost center": ("1", "2", None)}),
        **some(chance, description=(*WORDS, None), license=("MIT", "Apache-2.0", None)),
        **some(chance, lifecycle=("active", "deprecated", "yanked", "archived", None)),
        **some(chance, base=({"uri": "hf://o/m@1"}, None)),
        "parents": [
            {"model": name.partition("@")[0], "version": name.partition("@")[2], "relation": "finetuned-from"}
            for name in chance.sample(before, min(len(before), chance.randrange(3)))
        ],
    }  # fmt: skip
    return {name: value for name, value in data.items() if value not in ({}, [])}


def version_names(chance: random.Random, count: int) -> list[str]:
    every = [f"{n}.{m}.0{end}" for n in (0, 1, 2, 10) for m in range(5) for end in ("", "-alpha", "-alpha.2", "-rc.10")]
    return chance.sample(every, count)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _sealed_session: None) -> World:
    chance, writer = random.Random(11), Writer(tmp_path_factory.mktemp("world") / "registry.git")
    settings = {
        **HEAD,
        "kind": "Registry",
        "name": "w",
        "store": "file:../s",
        "environments": [{"name": "prod"}, {"name": "qa"}],
    }
    files: dict[str, str | None] = {"registry.yaml": json.dumps(settings)}
    versions: list[plain.Version] = []
    for model, count in MODELS.items():
        names = version_names(chance, count)
        about = {
            **HEAD, "kind": "Model", "model": model, **some(chance, description=(*WORDS, None), task=("ranking", None)),
            **some(chance, owners=(["alice"], ["bob", "alice"], None), labels=({"domain": "x"}, None)),
            **({"aliases": {"champion": names[0], "old": names[-1]}} if names else {}),
        }  # fmt: skip
        card = chance.choice(CARDS)
        files[f"models/{model}/model.yaml"], files[f"models/{model}/README.md"] = json.dumps(about), card
        for name in names:
            data = manifest(chance, model, name, [each.name for each in versions])
            files[f"models/{model}/{name}.yaml"] = json.dumps(data)
            versions.append(plain.Version(data, about, card or ""))
    files = {path: text for path, text in files.items() if text is not None}
    gone = chance.sample(versions, 6)
    for each in gone:
        path = f"models/{each.manifest['model']}/{each.manifest['version']}.yaml"
        tombstone = {**HEAD, "kind": "Tombstone", "model": each.manifest["model"], "version": each.manifest["version"]}
        files[path] = json.dumps({**tombstone, "manifest_digest": f"sha256:{0:064x}", "reason": "ledger"})
    left = [each for each in versions if each not in gone]
    writer.commit(START, files)
    tip = deploy(chance, writer, left)
    descend(versions, left)
    left.sort(key=lambda each: plain.precedence(each.manifest["version"]), reverse=True)
    left.sort(key=lambda each: each.manifest["model"])
    return World(writer.folder, tip, left)


def deploy(chance: random.Random, writer: Writer, versions: list[plain.Version]) -> str:
    tip = ""
    for day, each in enumerate(chance.sample(versions, 12), 1):
        model, environment = each.manifest["model"], chance.choice(("prod", "qa"))
        canary = chance.choice([one for one in versions if one.manifest["model"] == model])
        more = f"canary_version: {canary.manifest['version']}\ncanary_percent: 5\n" if canary is not each else ""
        text = pointer(environment, model, each.manifest["version"], more)
        tip = writer.commit(START + 86_400 * day, {f"deployments/{environment}/{model}.yaml": text})
        for other in versions:
            if other.manifest["model"] == model:
                other.deployed.discard(environment)
        for one in (each, canary):
            one.deployed.add(environment)
    return tip


def descend(versions: Sequence[plain.Version], left: Sequence[plain.Version]) -> None:
    """Note the ancestors of each version; what a tombstone came from nobody can tell."""
    names = {each.name for each in left}
    known: dict[str, set[str]] = {}
    for each in versions:  # parents come before their children
        parents = plain.values_of(each, "parent") if each.name in names else []
        known[each.name] = each.ancestors
        each.ancestors.update(parents, *(known[name] for name in parents))


# Random conditions


class Asker:
    """Ask at random, with values of the registry among others."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance

    def term(self, depth: int = 3) -> plain.Term:
        chance = self.chance
        if depth == 0 or chance.random() < 0.35:
            return self.leaf()
        if chance.random() < 0.25:
            return plain.Not(self.term(depth - 1))
        kind = chance.choice((plain.Either, plain.Both, plain.Both))
        return kind(tuple(self.term(depth - 1) for _ in range(chance.randrange(2, 4))))

    def leaf(self) -> plain.Term:
        kind = self.chance.random()
        if kind < 0.1:
            return self.question()
        if kind < 0.35:
            entries = self.chance.choice(list(plain.LISTS))
            return self.of_entry(entries) if kind < 0.2 else plain.Both(tuple(self.entry_terms(entries)))
        return self.compare(self.chance.choice(list(plain.FIELDS) + list(plain.LIST_OF)))

    def entry_terms(self, entries: str) -> Iterator[plain.Term]:
        for _ in range(self.chance.randrange(1, 4)):
            yield self.compare(self.chance.choice(list(plain.LISTS[entries][1])))

    def of_entry(self, entries: str) -> plain.Term:
        terms = tuple(self.entry_terms(entries))
        inside = self.chance.choice((plain.Both(terms), plain.Either(terms), plain.Not(terms[0])))
        return plain.Some(entries, inside)

    def question(self) -> plain.Term:
        version, name = self.chance.choice(self.world.versions), self.chance.choice(("prod", "qa"))
        word = self.chance.choice(("ledger", "insults", "one", "nothing"))
        return self.chance.choice(
            (
                plain.Asked(f"deployed('{name}')", lambda each: name in each.deployed),
                plain.Asked(f"deployed({name})", lambda each: name in each.deployed),
                plain.Asked(f"text('{word}')", lambda each: word in words_of(each)),
                plain.Asked(f"descends_from({version.name})", lambda each: version.name in each.ancestors),
                plain.Asked(f"ancestor_of('{version.name}')", lambda each: each.name in version.ancestors),
            )
        )

    def compare(self, name: str) -> plain.Term:
        chance, kind = self.chance, plain.KINDS[name]
        signs = ["=", "!=", "in", "present"]
        signs += ["~", "like", "ilike"] if kind in {plain.TEXT, plain.VERSION} else [*plain.ORDERS]
        signs += [*plain.ORDERS] if kind == plain.VERSION else []
        sign = chance.choice(signs)
        values = tuple(
            self.value(name, sign) for _ in range(chance.randrange(1, 4) if sign == "in" else sign != "present")
        )
        found = plain.Compare(name, sign, values)
        return plain.Not(found) if chance.random() < 0.15 else found

    def value(self, name: str, sign: str) -> Any:  # noqa: ANN401 - of any kind
        chance, kind = self.chance, plain.KINDS[name]
        found = [value for each in self.world.versions for value in plain.values_of(each, name)]
        known = name in {"deployed", "lifecycle"}  # of these, others are refused
        value = chance.choice(found) if found and (known or chance.random() < 0.9) else None
        if kind == plain.TEXT and sign in {"~", "like", "ilike"}:
            return self.part(str(value or chance.choice(WORDS)), sign)
        if kind == plain.TIME:
            return str(value or found[0])[: chance.choice((4, 7, 10, 13, 16, 19))]
        if kind in {plain.NUMBER, plain.PARAMETER} and sign in plain.ORDERS:
            return value if plain.is_number(value) else chance.choice((0, 0.5, 7))
        fallback = {plain.TEXT: chance.choice(WORDS), plain.VERSION: "1.2.3"}.get(kind, 0.33)
        return fallback if value is None or isinstance(value, list) else value

    def part(self, text: str, sign: str) -> str:
        start = self.chance.randrange(len(text) + 1)
        part = text[start : start + self.chance.randrange(1, 6)]
        part = self.chance.choice((part, part.upper(), part.lower()))
        return part if sign == "~" else self.chance.choice((f"%{part}%", f"{part}%", f"_{part}%", part, text))


def words_of(version: plain.Version) -> set[str]:
    model = (version.manifest["model"], version.model.get("description", ""), version.card)
    texts = (version.manifest.get("description", ""), *model)
    return {word for text in texts for word in re.findall(r"[a-z0-9]+", text.lower())}


def expected(world: World, term: plain.Term) -> list[str] | None:
    """Give what is found; None where the search is to be refused."""
    try:
        holding = [(each.name, term.holds(each)) for each in world.versions]
    except plain.AmbiguousError:
        return None
    return [name for name, holds in holding if holds]


@pytest.mark.usefixtures("ways")
def test_a_search_finds_what_a_plain_filter_finds(world: World) -> None:
    asker, counts = Asker(world, random.Random(27)), {"refused": 0, "some": 0}
    with Repository.open(world.folder) as repository:
        snapshot = Snapshot(repository, world.tip)
        for _ in range(SEARCHES):
            term = asker.term()
            wanted = expected(world, term)
            query = Query(conditions=conditions(term))
            if wanted is None:
                counts["refused"] += 1
                with pytest.raises(InvalidError, match="asked for twice"):
                    search(snapshot, query, now=True)
                continue
            found = [f"{row.model}@{row.version}" for row in search(snapshot, query, now=True)]
            assert found == wanted, query.conditions
            counts["some"] += 0 < len(found) < len(world.versions)
    assert counts["some"] > SEARCHES / 3
    assert counts["refused"] > SEARCHES / 1000


def conditions(term: plain.Term) -> tuple[str, ...]:
    """Give the terms of an `and` as arguments of their own, which means the same."""
    return tuple(each.text() for each in term.terms) if isinstance(term, plain.Both) else (term.text(),)
