"""Make pushes that are right, nearly right, or wrong in one place."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from tests.differential.deeds import GRAVES, KINDS, Deed, Hand
from tests.differential.oracle import File, World, advance, read_or_none
from tests.differential.worlds import ABLE, ACTORS, HUGE, Data, sha256, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

Edits = dict[str, File | None]


def spoil(deed: Deed, world: World, random: Random) -> None:
    """Change one thing about a deed."""
    if not deed.files:
        return
    path = random.choice(list(deed.files))
    data = deed.files[path]
    spoils: list[Callable[[], object]] = [lambda: misplace(deed, path, random), lambda: mix(deed, world, random)]
    if isinstance(data, dict):
        spoils += [lambda: deed.files.update({path: misspelt(data, random)})] * 2
        spoils += [lambda: deed.files.update({path: mistyped(write(data), random)})] * 2
    random.choice(spoils)()


def misplace(deed: Deed, path: str, random: Random) -> None:
    swaps = [
        ("risk/", "vision/"),
        ("1.", "2."),
        ("staging", "prod"),
        ("prod", "edge"),
        (".yaml", ".yml"),
        ("dana", "erin"),
    ]
    old, new = random.choice(swaps)
    deed.files[path.replace(old, new, 1)] = deed.files.pop(path)


def mix(deed: Deed, world: World, random: Random) -> None:
    hand = Hand(world, random)
    other = random.choice([hand.free, hand.rules, hand.settings, hand.card, hand.report, hand.approve])
    deed.files.update(other().files)


def misspelt(data: Data, random: Random) -> Data:
    """Change one field of a file: drop it, rename it, or give it a value of another kind."""
    data = deepcopy(data)
    inside, name = random.choice(list(fields_of(data)))
    value = inside.pop(name)
    values: list[object] = [
        None,
        "",
        "x y",
        7,
        -1,
        1.5,
        True,
        [],
        {},
        [value],
        "1.0.0",
        "prod",
        "root",
        "z" * 300,
        "ünïcode",
        "a\u2028b",
    ]
    way = random.random()
    if way < 0.25:
        inside[f"{name}s"] = value
    elif way < 0.7:
        inside[name] = random.choice(values)
    return data


def fields_of(data: object) -> Iterator[tuple[Data, str]]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield data, name
            yield from fields_of(value)
    elif isinstance(data, list):
        for item in data:
            yield from fields_of(item)


def mistyped(data: bytes, random: Random) -> bytes:
    """Write a file otherwise, or wrongly."""
    value = json.loads(data)
    plain = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode()
    first = plain.split(b"\n", 1)[0] + b"\n"
    return random.choice(
        [
            data.replace(b"\n", b"\r\n"),
            b"# comment\n" + data + b"# end\n",
            b"---\n" + data,
            data.replace(b"{", b"{<<: {a: b}, ", 1),
            data.replace(b": ", b": &a ", 1),
            data.replace(b'"', b"!x '", 1),
            data.replace(b"}", b"", 1),
            data + b"---\na: 1\n",
            data + first,
            data.replace(b"{", b'{"api_version": "gitreg/v1", ', 1),
            b"\xef\xbb\xbf" + data,
            data + b"\xff",
            b"",
            b"[]\n",
            HUGE + b"\n" + data,
        ]
    )


# --------------------------------------------------------------------------------------------------- a push


@dataclass(frozen=True)
class Push:
    """Commits, oldest first, and who pushes them."""

    commits: list[Edits]
    actor: str


def push(world: World, random: Random) -> Push:
    """Make a push of one to three commits by one actor, with at most one thing wrong on purpose."""
    commits: list[Edits] = []
    number = random.choices([1, 2, 3], [80, 14, 6])[0]
    spoiled = random.randrange(number) if random.random() < 0.15 else None
    actor = ""
    for index in range(number):
        deed = random.choices(list(KINDS), list(KINDS.values()))[0](Hand(world, random))
        if index == spoiled:
            spoil(deed, world, random)
        actor = actor or someone(deed.actions if number == 1 or random.random() < 0.3 else (), random)
        edits = edits_of(deed, world, random)
        remember(world, edits)
        commits.append(edits)
        undone = {path: File(world.files[path]) if path in world.files else None for path in edits}
        world = advance(world, edits)
        if not all(map(world.files.get, ["access.yaml", "registry.yaml"])) or not readable(world, edits):
            if random.random() < 0.5:
                commits.append(undone)
            break
    return Push(commits, actor)


def readable(world: World, edits: Edits) -> bool:
    return all(read_or_none(path, world.files[path]) is not None for path in edits if path in world.files)


def someone(actions: tuple[str, ...], random: Random) -> str:
    chance = random.random()
    if chance < 0.06:
        return random.choice(ACTORS)
    if chance < 0.2 or len(actions) != 1:
        return "root"
    (action,) = actions
    return action.removeprefix("as ") if action.startswith("as ") else random.choice(ABLE[action])


def edits_of(deed: Deed, world: World, random: Random) -> Edits:
    edits: Edits = {}
    for path, data in deed.files.items():
        if data is None:
            if path in world.files:
                edits[path] = None
            continue
        made = File(write(data) if isinstance(data, dict) else data)
        if random.random() < 0.01:
            made = File(made.data, random.choice(["100755", "120000", "160000"]))
        if random.random() < 0.003:
            made = File(HUGE, made.mode)
        if world.files.get(path) != made.data or made.mode != "100644":
            edits[path] = made
    return edits


def remember(world: World, edits: Edits) -> None:
    for path in edits:
        if path in world.files and path.startswith("models/"):
            GRAVES[sha256(world.files[path])] = world.files[path]
