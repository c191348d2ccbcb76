"""Read what flags and files say; every error names the flag."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gitreg.errors import GitregError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHOWN = 80
_DATASET_FIELDS = ("digest", "uri")


def texts(values: Sequence[str], flag: str) -> dict[str, str]:
    """Read `key=value` flags as text."""
    found: dict[str, str] = {}
    for each in values:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise InvalidError(f"{flag} {each[:_SHOWN]!r} is not key=value", hint=f"write {flag} key=value")
        if key in found:
            raise InvalidError(f"{flag} gives {key[:_SHOWN]!r} twice", hint="keep one of them")
        found[key] = value
    return found


def scalars(values: Sequence[str], flag: str) -> dict[str, object]:
    """Read `key=value` flags as YAML 1.2 does: `0.001` is a number, `true` a boolean, `no` a text."""
    return {key: _scalar(value, f"{flag} {key}") for key, value in texts(values, flag).items()}


def numbers(values: Sequence[str], flag: str) -> dict[str, float]:
    """Read `key=value` flags as finite numbers."""
    return _all_numbers({key: _scalar(value, f"{flag} {key}") for key, value in texts(values, flag).items()}, flag)


def _scalar(text: str, where: str) -> object:
    from gitreg.wire.scalars import resolve

    try:
        return resolve(text)
    except InvalidError as error:
        raise InvalidError(f"{where}: {error.message}") from error


def _all_numbers(values: Mapping[str, object], flag: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidError(
                f"{flag} {key}: {str(value)[:_SHOWN]!r} is not a number", hint=f"write it as {flag} {key}=0.93"
            )
        found[key] = value
    return found


def dataset(text: str) -> dict[str, object]:
    """Read `name[@version][,digest=sha256:…][,uri=…]`."""
    head, *rest = text.split(",")
    name, at, version = head.partition("@")
    if not name or (at and not version):
        raise InvalidError(
            f"--dataset {text[:_SHOWN]!r} has no name or version",
            hint="write --dataset name[@version][,digest=sha256:…][,uri=…]",
        )
    found: dict[str, object] = {"name": name, **({"version": version} if version else {})}
    for key, value in texts(rest, "--dataset").items():
        if key not in _DATASET_FIELDS or not value:
            raise InvalidError(
                f"--dataset {text[:_SHOWN]!r}: {key!r} is not known", hint="after the name: digest=sha256:…, uri=…"
            )
        found[key] = value
    return found


def external(text: str | None) -> dict[str, object] | None:
    """Read `provider:id`."""
    if text is None:
        return None
    provider, colon, identifier = text.partition(":")
    if not colon or not provider or not identifier:
        raise InvalidError(f"--external {text[:_SHOWN]!r} is not provider:id", hint="as in --external openai:gpt-5")
    return {"provider": provider, "id": identifier}


# Files


def mapping_file(name: str | None, flag: str) -> dict[str, object]:
    """Read a JSON or YAML file, or `-` for stdin, that holds a mapping; an empty one for None."""
    if name is None:
        return {}
    value = _load(name, flag)
    if not isinstance(value, dict):
        raise InvalidError(f"{flag} {name} holds {_kind(value)}, and a mapping is wanted")
    return value


def numbers_file(name: str | None, flag: str) -> dict[str, float]:
    """Read a file of finite numbers by name."""
    return _all_numbers(mapping_file(name, flag), flag)


def texts_file(name: str | None, flag: str) -> dict[str, str]:
    """Read a file of texts by name."""
    found: dict[str, str] = {}
    for key, value in mapping_file(name, flag).items():
        if not isinstance(value, str):
            raise InvalidError(f"{flag} {name}: {key} is {_kind(value)}, and text is wanted", hint="put it in quotes")
        found[key] = value
    return found


def list_file(name: str | None, flag: str) -> tuple[Mapping[str, object], ...]:
    """Read a JSON or YAML file that holds a list of mappings, bare or as the one value of a mapping."""
    if name is None:
        return ()
    key = flag.removeprefix("--")
    hint = f"write `{key}:` and a list below it, or a list in JSON"
    value = _load(name, flag, hint)
    if isinstance(value, dict) and list(value) == [key]:
        value = value[key]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidError(f"{flag} {name} is not a list of mappings", hint=hint)
    return tuple(value)


def _kind(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def text_file(name: str | None, flag: str) -> str | None:
    """Read a file of text."""
    if name is None:
        return None
    try:
        return _bytes(name, flag).decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{flag} {name} is not UTF-8", hint="save it as UTF-8") from error


def _bytes(name: str, flag: str) -> bytes:
    """Read a file or stdin, and no more of it than may be of use."""
    from gitreg.wire import MAX_BYTES

    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidError(f"{flag} {name} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidError(f"{flag} {name} has more than {MAX_BYTES:,} bytes", hint="it is meant for metadata")
    return data


def _load(name: str, flag: str, hint: str | None = None) -> object:
    data = _bytes(name, flag)
    shown = "stdin" if name == "-" else name
    if name.lower().endswith(".json") or data.lstrip()[:1] in {b"{", b"["}:
        return _json(data, f"{flag} {shown}")
    from gitreg.wire import load_plain

    try:
        return load_plain(data, shown)
    except GitregError as error:
        raise InvalidError(f"{flag}: {error.message}", hint=error.hint or hint, problems=error.problems) from error


def _json(data: bytes, where: str) -> object:
    try:
        value: object = json.loads(
            data,
            object_pairs_hook=lambda pairs: _without_duplicates(pairs, where),
            parse_constant=_not_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{where} is not JSON: {error}") from error
    return value


def _without_duplicates(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidError(f"{where} gives {twice[:_SHOWN]!r} twice", hint="keep one of them")
    return found


def _not_finite(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text)
