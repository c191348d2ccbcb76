"""Read YAML strictly: one document, the core types of YAML 1.2, bounded, no surprises."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from gitreg.errors import InvalidError, Problem
from gitreg.wire.document import Document, Mark, Path, field_name
from gitreg.wire.limits import MAX_BYTES, MAX_DEPTH, MAX_KEY, MAX_NODES
from gitreg.wire.scalars import FORBIDDEN, FORBIDDEN_RAW, resolve
from gitreg.wire.syntax import explain_syntax, refusal

if TYPE_CHECKING:
    import yaml

_CORE: Final = "tag:yaml.org,2002:"
_TAGS: Final[dict[type, str]] = {type(None): "null", bool: "bool", int: "int", float: "float"}


def load(data: bytes, path: str | None = None) -> Document:
    """Read a file with the place of everything in it; raise InvalidError with file, line and column."""
    reader = _Reader(_decode(data, path), path)
    return Document(reader.document(), reader.marks, path, reader.sources)


def load_plain(data: bytes, path: str | None = None) -> dict[str, Any]:
    """Read a file by the same rules, and keep its value alone."""
    return load(data, path).value


def _decode(data: bytes, path: str | None) -> str:
    """Check size and characters, before any parser sees them."""
    if len(data) > MAX_BYTES:
        raise refusal(Problem(f"the file has {len(data):,} bytes, and {MAX_BYTES:,} are allowed", path))
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in data[:4]:
        raise refusal(Problem("the file is UTF-16 or UTF-32", path, 1, 1), "save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        raise refusal(Problem("the file begins with a byte order mark", path, 1, 1), "save it as UTF-8 without BOM")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        problem = Problem(
            f"the byte 0x{data[error.start]:02x} is not UTF-8", path, *_place(data[: error.start].decode())
        )
        raise refusal(problem, "save the file as UTF-8") from error
    if found := re.search(FORBIDDEN_RAW, text):
        problem = Problem(f"found {_character(found[0])}", path, *_place(text[: found.start()]))
        raise refusal(problem, _way_out(found[0]))
    return text


def _parsers_differ(text: str) -> bool:
    """Whether libyaml might read a text otherwise than the pure parser, which then reads it on every machine.

    They differ in where they put up with tabs, with ? and : inside [ ] and { }, and with # right after | and >.
    """
    in_flow = "?" in text and ("{" in text or "[" in text)
    return in_flow or "\t" in text or re.search(r":[,\[\]{}]|[|>][-+0-9]*#", text) is not None


def _place(before: str) -> Mark:
    """Count lines and columns up to here."""
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _character(character: str) -> str:
    return f"the control character U+{ord(character):04X}"


def _way_out(character: str) -> str:
    if character == "\r":
        return "end lines with a line feed"
    if character in "\u2028\u2029\ufeff":
        return f'write it as "\\u{ord(character):04X}" inside double quotes, or leave it out'
    return "leave it out"


class _Reader:
    """Build one value from a parser's events."""

    def __init__(self, text: str, path: str | None) -> None:
        self.marks: dict[Path, Mark] = {}
        self.sources: dict[Path, str] = {}
        self._text = text
        self._path = path
        self._nodes = 0

    def document(self) -> dict[str, Any]:
        """Read the one document, whose top is a mapping."""
        import yaml

        self._directives()
        fast = yaml.__with_libyaml__ and not _parsers_differ(self._text)
        self._events = yaml.parse(self._text, Loader=yaml.CBaseLoader if fast else yaml.BaseLoader)
        try:
            return self._top()
        except yaml.YAMLError as error:
            raise explain_syntax(error, self._text, self._path) from error
        except ValueError as error:  # the pure parser's, for an escape beyond Unicode
            escape = re.search(r"\\U(?!000|0010)", self._text)
            mark = _place(self._text[: escape.start()] if escape else "")
            raise refusal(Problem("found an escape that is no character", self._path, *mark), "leave it out") from error

    def _directives(self) -> None:
        """Refuse all directives but `%YAML 1.2`: the parsers differ in what they make of them."""
        if "%" not in self._text:
            return
        for number, line in enumerate(self._text.split("\n"), 1):
            if line.startswith("%"):
                if not re.fullmatch(r"%YAML 1\.2 *\r?", line):
                    message = f"found the directive {line[:40].strip()!r}"
                    problem = Problem(message, self._path, number, 1)
                    raise refusal(problem, "leave the line out; gitreg reads YAML 1.2")
            elif line.strip() and not line.lstrip().startswith("#"):
                return

    def _top(self) -> dict[str, Any]:
        import yaml

        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise self._refusal(event, (), "the file is empty", "fields are written as `name: value`")
        event = next(self._events)
        if not isinstance(event, yaml.MappingStartEvent):
            raise self._refusal(event, (), f"found {_kind(event)}, want fields", "they are written as `name: value`")
        self.marks[()] = _mark(event)
        value = self._node(event, (), 0)
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._refusal(event, (), "a second document begins here", "a file holds one")
        return cast("dict[str, Any]", value)

    def _node(self, event: yaml.Event, path: Path, depth: int) -> object:
        import yaml

        self._count(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.AliasEvent):
            raise self._refusal(event, path, f"found the alias *{event.anchor}", "write the value out again")
        if depth == MAX_DEPTH:
            raise self._refusal(
                event, path, f"lists and mappings lie more than {MAX_DEPTH} deep in each other", "flatten them"
            )
        if isinstance(event, yaml.MappingStartEvent):
            self._plain_tag(event, path, "map")
            return self._mapping(path, depth + 1)
        event = cast("yaml.SequenceStartEvent", event)
        self._plain_tag(event, path, "seq")
        return self._sequence(path, depth + 1)

    def _count(self, event: yaml.Event, path: Path) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._refusal(event, path, f"the file holds more than {MAX_NODES:,} keys and values")

    def _mapping(self, path: Path, depth: int) -> dict[str, object]:
        import yaml

        value: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._count(event, path)
            key = self._key(event, path)
            here = (*path, key)
            if key in value:
                first = self.marks[here].line
                raise self._refusal(
                    event, path, f"the key {key!r} stands here twice, first in line {first}", "leave one out"
                )
            self.marks[here] = _mark(event)
            value[key] = self._node(next(self._events), here, depth)
        return value

    def _sequence(self, path: Path, depth: int) -> list[object]:
        import yaml

        value: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(value))
            self.marks[here] = _mark(event)
            value.append(self._node(event, here, depth))
        return value

    def _key(self, event: yaml.Event, path: Path) -> str:
        """Read a key: text, of a reasonable length, and no merge."""
        import yaml

        if isinstance(event, yaml.AliasEvent):
            raise self._refusal(event, path, f"found the alias *{event.anchor} as a key", "write the key out")
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refusal(event, path, f"found {_kind(event)} as a key", "keys are text")
        at = event.start_mark.index if event.start_mark else 0
        if at and self._text[at - 1] == "?" and (event.value or event.style):
            # The parsers take this ? for a sign, YAML 1.2 takes it for a part of the word.
            raise self._refusal(event, path, "found ? right before a key", "add a space, or write the key in quotes")
        if event.value == "<<" and not event.style:
            raise self._refusal(event, path, "found the merge key <<", "write the fields out")
        key = self._scalar(event, path)
        if not isinstance(key, str):
            shown = event.value or "an empty word"
            raise self._refusal(
                event, path, f"found {shown} as a key, which is not text", f'write it in quotes: "{event.value}"'
            )
        if len(key) > MAX_KEY:
            raise self._refusal(
                event, path, f"the key {key[:20]!r}… has {len(key)} characters, and {MAX_KEY} are allowed"
            )
        return key

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> str | float | bool | None:
        self._no_anchor(event, path)
        if event.tag is not None:
            return self._tagged(event, path)
        text = event.value
        if event.style:
            self._check_escapes(event, path)
            return text
        value = self._resolve(event, path)
        if value is not text:
            self.sources[path] = text
        return value

    def _resolve(self, event: yaml.ScalarEvent, path: Path) -> str | float | bool | None:
        try:
            return resolve(event.value)
        except InvalidError as error:
            raise self._refusal(event, path, error.message, error.hint) from error

    def _tagged(self, event: yaml.ScalarEvent, path: Path) -> str | float | bool | None:
        """Read a scalar with a tag, which may say what it is but may not make it something else."""
        name = self._core_tag(event, path)
        if name == "str":
            self._check_escapes(event, path)
            return event.value
        value = self._resolve(event, path)
        self.sources[path] = event.value
        kind = _TAGS.get(type(value))
        if name == "float" and kind == "int":
            return float(cast("int", value))
        if kind != name:
            raise self._refusal(event, path, f"{event.value[:40]!r} is no !!{name}", "leave the tag out")
        return value

    def _plain_tag(self, event: yaml.CollectionStartEvent, path: Path, want: str) -> None:
        self._no_anchor(event, path)
        if event.tag is not None and self._core_tag(event, path) != want:
            raise self._refusal(event, path, f"{_kind(event)} cannot be a {event.tag}", "leave the tag out")

    def _core_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: Path) -> str:
        tag = event.tag or ""
        if not tag.startswith(_CORE) or tag.removeprefix(_CORE) not in {*_TAGS.values(), "str", "map", "seq"}:
            raise self._refusal(event, path, f"found the tag {tag[:60]!r}", "leave the tag out")
        return tag.removeprefix(_CORE)

    def _no_anchor(self, event: yaml.NodeEvent, path: Path) -> None:
        if event.anchor is not None:
            raise self._refusal(
                event, path, f"found the anchor &{event.anchor}", "leave it out, and write values where they go"
            )

    def _check_escapes(self, event: yaml.ScalarEvent, path: Path) -> None:
        if event.style == '"' and (found := re.search(FORBIDDEN, event.value)):
            raise self._refusal(event, path, f"the text holds {_character(found[0])}", "leave it out")

    def _refusal(self, event: yaml.Event, path: Path, message: str, hint: str | None = None) -> InvalidError:
        return refusal(Problem(message, self._path, *_mark(event), field_name(path) or None), hint)


def _mark(event: yaml.Event) -> Mark:
    start = cast("yaml.Mark", event.start_mark)
    return Mark(start.line + 1, start.column + 1)


def _kind(event: yaml.Event) -> str:
    return {"MappingStartEvent": "a mapping", "SequenceStartEvent": "a list"}.get(type(event).__name__, "a lone value")
