"""Follow a pickle's opcodes without running them, to the end, and tell what it would import and build.

An unpickler is a machine with a stack. This one has the same stack and memo, but where an unpickler would import or
call something it writes down what. It can follow a stream as joblib's unpickler does, which reads arrays between two
opcodes, or as plain `pickle`, which runs their bytes as opcodes. It vouches for no pickle that it cannot follow.

Python has two unpicklers, in C and in Python. A HeaderError means that both fail there; where only one does, or we are
not sure, it is a TwoWaysError, or a value that is not known. So nothing that they import is missed.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

from gitreg.scan.headers.source import BreaksOffError, Source, TooMuchError, TwoWaysError, refuse
from gitreg.scan.pickled import Call, Global, Persistent, cannot_be_called, is_no_name

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPCODES = 20_000_000
MAX_IMPORTS = 10_000
_STEP = 1 << 20  # bytes that are read to find a line's end
_MAX_KEPT = 4_096  # bytes of a text that are kept: names are shorter
_CHUNK = 64 * 1024
_WRITTEN = re.compile(rb"-?(?:0|[1-9][0-9]{0,599})")  # a number as picklers write it
_READ = re.compile(rb"\s*[+-]?[0-9]")  # how a number begins as unpicklers read it: 0x1, 010, 1_0, and more


class _Mark:
    __slots__ = ()


_MARK = _Mark()
_UNKNOWN = object()


class Trace:
    """What a pickle would do: what it imports, in order, what it calls, the object that it builds, where it ends."""

    def __init__(self, source: Source, start: int = 0, *, is_joblib: bool = False) -> None:
        self.source = source
        self.position = start
        self.imports: dict[str, Global] = {}
        self.dangers: list[str] = []
        self.doubts: list[str] = []  # calls of instances: dangers in what is meant as a pickle
        self.arrays = 0
        self.called: set[str] = set()
        self.has_called = False  # or changed what it imported
        self.frame_end = 0
        self._is_joblib = is_joblib
        self._left = MAX_OPCODES
        self._chunk = b""
        self._start = start

    def run(self) -> object:
        """Follow one pickle from the present position to its STOP; HeaderError where an unpickler would fail."""
        return _Machine(self, is_joblib=self._is_joblib).run()

    def run_plainly(self) -> object:
        """Follow one pickle that joblib gives to plain `pickle`: the objects of an array."""
        return _Machine(self, is_joblib=False).run()

    def step(self) -> None:
        """Count an opcode."""
        self._left -= 1
        if self._left < 0:
            raise TooMuchError(f"more than {MAX_OPCODES:,} opcodes: too long to be followed")

    def imported(self, module: object, name: object) -> Global | object:
        """Note an import."""
        if not isinstance(module, str) or not isinstance(name, str):
            if self._is_no_name(module) or self._is_no_name(name):
                refuse(f"an import of what is no name before byte {self.position}: the pickle breaks off")
            self.dangers.append(f"imports a name that it computes, before byte {self.position}")
            return _UNKNOWN
        found = Global(module, name)
        self.imports.setdefault(str(found), found)
        if len(self.imports) > MAX_IMPORTS:
            raise TooMuchError(f"more than {MAX_IMPORTS:,} imports")
        return found

    def _is_no_name(self, value: object) -> bool:
        """Whether it is certainly no text: what is imported may be one, unless it was called before."""
        return str(value) in self.called if isinstance(value, Global) else is_no_name(value)

    # --- bytes ---

    def _pass(self, count: int) -> None:
        """Go on; TwoWaysError over the end of a frame: the unpickler in C may drop the frame's rest and read on."""
        start, self.position = self.position, self.position + count
        if start < self.frame_end < self.position:
            raise TwoWaysError(f"the frame that ends at byte {self.frame_end} cuts off what begins at byte {start}")

    def take(self, count: int) -> bytes:
        """Read the argument of an opcode."""
        at = self.position - self._start
        if at < 0 or at + count > len(self._chunk):
            self._start, at = self.position, 0
            self._chunk = self.source.peek(self.position, max(count, _CHUNK))
        data = self._chunk[at : at + count]
        if len(data) != count:
            raise BreaksOffError(f"the pickle breaks off at byte {self.source.size}")
        self._pass(count)
        return data

    def skip(self, count: int) -> None:
        """Pass over bytes that mean nothing here."""
        if count < 0 or self.position + count > self.source.size:
            end = self.position + count
            raise BreaksOffError(f"the pickle would go on to byte {end} of {self.source.size}: truncated")
        self._pass(count)

    def payload(self, width: int) -> bytes:
        """Read a text or bytes with their length before them: whole where short, else the beginning."""
        length = int.from_bytes(self.take(width), "little")
        if length > _MAX_KEPT:
            start = self.position
            self.skip(length)
            return self.source.peek(start, _MAX_KEPT) + b"\0..."  # never a name
        return self.take(length)

    def line(self, *, ends_with_file: bool = False) -> bytes:
        """Read to the end of a line: whole where short, else the beginning."""
        start, at = self.position, self.position - self._start
        if 0 <= at < len(self._chunk) and 0 <= (end := self._chunk.find(b"\n", at)) <= at + _MAX_KEPT:
            self._pass(end + 1 - at)
            return self._chunk[at:end]
        end = start
        while data := self.source.peek(end, _STEP):
            found = data.find(b"\n")
            end += found + 1 if found >= 0 else len(data)
            if found >= 0:
                break
        else:
            if not ends_with_file:
                raise BreaksOffError(f"a line without an end at byte {start}")
        self._pass(end - start)
        return self.source.peek(start, min(max(end - start - 1, 0), _MAX_KEPT + 1))


class _Machine:
    """The stack and memo of one pickle."""

    def __init__(self, trace: Trace, *, is_joblib: bool) -> None:
        self.trace = trace
        self.is_joblib = is_joblib
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        trace = self.trace
        while True:
            trace.step()
            code = trace.take(1)
            if code == b".":
                self.check_frame("the pickle ends")
                return self.pop()
            handler = _HANDLERS.get(code)
            if handler is None:
                refuse(f"byte {trace.position - 1} is no opcode: the pickle breaks off")
            handler(self)

    def frame(self) -> None:
        """Begin a frame: an unpickler takes all of it from the file at once."""
        self.check_frame("another frame begins")
        length = self.number(8)
        self.trace.frame_end = self.trace.position + length

    def check_frame(self, what: str) -> None:
        """Refuse what is inside a frame and has to stand after it: another reader would go on in another place."""
        if self.trace.position >= self.trace.frame_end:
            return
        if self.trace.frame_end > self.trace.source.size:
            raise BreaksOffError(
                f"a frame goes on to byte {self.trace.frame_end} of {self.trace.source.size}: truncated"
            )
        raise TwoWaysError(f"{what} at byte {self.trace.position}, before its frame does")

    def pop(self) -> Any:  # noqa: ANN401 - whatever a pickle builds
        if not self.stack or self.stack[-1] is _MARK:
            refuse(f"the stack is empty at byte {self.trace.position}: the pickle breaks off")
        return self.stack.pop()

    def to_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                found = self.stack[index + 1 :]
                del self.stack[index:]
                return found
        return refuse(f"no mark at byte {self.trace.position}: the pickle breaks off")

    def top(self) -> Any:  # noqa: ANN401
        if not self.stack or self.stack[-1] is _MARK:
            refuse(f"the stack is empty at byte {self.trace.position}: the pickle breaks off")
        return self.stack[-1]

    def number(self, width: int) -> int:
        return int.from_bytes(self.trace.take(width), "little")

    # --- values ---

    def push(self, value: object) -> None:
        self.stack.append(value)

    def text(self, width: int) -> None:
        data = self.trace.payload(width)
        try:
            self.push(data.decode("utf-8", "surrogatepass") if len(data) <= _MAX_KEPT else _UNKNOWN)
        except UnicodeDecodeError:
            refuse(f"a text that is not UTF-8 before byte {self.trace.position}: the pickle breaks off")

    def string(self, width: int) -> None:
        data = self.trace.payload(width)
        self.push(data.decode("latin-1") if len(data) <= _MAX_KEPT else _UNKNOWN)

    def blob(self, width: int) -> None:
        self.push(self.trace.payload(width))

    def quoted(self) -> None:
        line = self.trace.line().strip()
        if len(line) > _MAX_KEPT:
            self.push(_UNKNOWN)
            return
        if len(line) < 2 or line[:1] not in {b"'", b'"'} or line[-1:] != line[:1]:  # noqa: PLR2004
            refuse(f"a text without quotes before byte {self.trace.position}")
        import codecs

        try:
            self.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))
        except DeprecationWarning:  # an unknown escape, where warnings are errors
            self.push(_UNKNOWN)
        except ValueError:
            refuse(f"a text with a wrong escape before byte {self.trace.position}: the pickle breaks off")

    def escaped(self) -> None:
        line = self.trace.line()
        self.push(line.decode("raw-unicode-escape", "replace") if len(line) <= _MAX_KEPT else _UNKNOWN)

    def integer(self) -> None:
        line = self.trace.line()
        if line in {b"00", b"01"}:
            self.push(line == b"01")
        else:
            self.push(_number(line.removesuffix(b"L")))

    def real(self) -> None:
        self.trace.line()
        self.push(0.0)

    def long(self, width: int) -> None:
        length = self.number(width)
        if length >= 1 << 31:
            refuse(f"a number of {length:,} bytes at byte {self.trace.position}")
        if length > _MAX_KEPT:
            self.trace.skip(length)
            self.push(_UNKNOWN)
        else:
            self.push(int.from_bytes(self.trace.take(length), "little", signed=True))

    # --- containers ---

    def appends(self) -> None:
        items = self.to_mark()
        self._extend(self.top(), items)

    def append(self) -> None:
        item = self.pop()
        self._extend(self.top(), [item])

    def _extend(self, target: object, items: list[Any]) -> None:
        if isinstance(target, list):
            target.extend(items)
        self.changed(target)

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            refuse(f"a key without a value before byte {self.trace.position}")
        target = self.top()
        self.changed(target)
        found = target.items if isinstance(target, Call) else target
        if isinstance(found, dict):
            for index in range(0, len(items), 2):
                key = items[index]
                found[key if isinstance(key, str | int | float | bytes | None) else id(key)] = items[index + 1]

    def dictionary(self) -> None:
        items = self.to_mark()
        self.push({})
        self.set_items(items)

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    # --- memo ---

    def place(self) -> int:
        line = self.trace.line()
        place = _number(line)
        if not isinstance(place, int):
            raise TwoWaysError(f"memo {line[:40]!r} before byte {self.trace.position}, as no pickle has it")
        return place

    def get_by_line(self) -> None:
        if not self.memo:
            refuse(f"nothing is in the memo at byte {self.trace.position}: the pickle breaks off")
        self.get(self.place())

    def get(self, index: int) -> None:
        if index not in self.memo:
            refuse(f"memo {index} is not there at byte {self.trace.position}: the pickle breaks off")
        self.push(self.memo[index])

    def put_by_line(self) -> None:
        self.top()
        self.put(self.place())

    def put(self, index: int) -> None:
        if index < 0:
            refuse(f"memo {index} at byte {self.trace.position}")
        self.memo[index] = self.top()

    # --- imports and calls ---

    def by_lines(self, *, ends_with_file: bool = False) -> Any:  # noqa: ANN401
        lines = (self.trace.line(ends_with_file=ends_with_file) for _ in range(2))
        module, name = (each.decode("utf-8", "replace") if len(each) <= _MAX_KEPT else _UNKNOWN for each in lines)
        return self.trace.imported(module, name)

    def by_stack(self) -> None:
        name = self.pop()
        self.push(self.trace.imported(self.pop(), name))

    def instance(self) -> None:
        found = self.by_lines(ends_with_file=True)  # as the unpickler in Python does, which imports before it looks
        self.push(self._called(found, tuple(self.to_mark())))

    def object_of(self) -> None:
        items = self.to_mark()
        if not items:
            refuse(f"a call of nothing at byte {self.trace.position}: the pickle breaks off")
        self.push(self._called(items[0], tuple(items[1:])))

    def reduce(self) -> None:
        arguments = self.pop()
        self.push(self._called(self.pop(), arguments))

    def new(self) -> None:
        arguments = self.pop()
        self.push(self._called(self.pop(), arguments, is_instance=True))

    def new_with_keywords(self) -> None:
        self.pop()
        self.new()

    def _called(self, function: object, arguments: object, *, is_instance: bool = False) -> Call:
        if isinstance(function, Global):
            self.trace.called.add(str(function))
            self.trace.has_called |= function.may_be_there
        elif cannot_be_called(function):
            refuse(f"a call of what is no function before byte {self.trace.position}: the pickle breaks off")
        else:
            self.trace.has_called = True
            what = f"calls what it made itself, before byte {self.trace.position}"
            known = isinstance(function, Call) and function.is_instance
            (self.trace.doubts if known else self.trace.dangers).append(what)
        return Call(function, arguments, is_instance=is_instance)

    def extension(self, width: int) -> None:
        self.trace.dangers.append(
            f"imports extension {self.number(width)} of copyreg, before byte {self.trace.position}"
        )
        self.push(_UNKNOWN)

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Call):
            if self.is_joblib:
                self.array(target, state)
            target.state = state
        self.changed(target)

    def changed(self, target: object) -> None:
        """Note what is put into something that was imported."""
        if isinstance(target, Global):
            self.trace.has_called |= target.may_be_there
            self.trace.dangers.append(f"changes {target}, before byte {self.trace.position}")
        elif target is _UNKNOWN:
            self.trace.has_called = True

    def array(self, target: Call, state: object) -> None:
        """Pass over the array that joblib reads where its wrapper is built; objects are a plain pickle."""
        if target.calls("joblib.numpy_pickle.NDArrayWrapper"):
            refuse("arrays in files of their own, as joblib wrote them before 0.10")
        if not target.calls("joblib.numpy_pickle.NumpyArrayWrapper"):
            return
        from gitreg.scan.joblib_arrays import described

        trace = self.trace
        self.check_frame("an array begins")
        if not target.is_bare:
            refuse(f"an array that is described twice, before byte {trace.position}")
        array = described(state, trace.position)
        trace.arrays += 1
        if array.holds_objects:
            trace.run_plainly()
            return
        if array.is_padded:
            trace.skip(trace.take(1)[0])
        trace.skip(array.size)


def _number(line: bytes) -> int | object:
    """Read a number as picklers write it; what unpicklers may read in another way is not known."""
    if len(line) > _MAX_KEPT:
        return _UNKNOWN
    if _WRITTEN.fullmatch(line):
        return int(line)
    if _READ.match(line):
        return _UNKNOWN
    return refuse(f"{line[:40]!r} is no number: the pickle breaks off")


def _pop_or_mark(machine: _Machine) -> None:
    """POP takes a mark away as well."""
    if not machine.stack:
        machine.pop()
    machine.stack.pop()


def _handlers() -> dict[bytes, Callable[[_Machine], Any]]:
    """Say what each opcode does to the stack (Lib/pickletools.py says so in words)."""

    def fixed(code: str) -> Callable[[_Machine], Any]:
        return lambda m: m.push(struct.unpack(code, m.trace.take(struct.calcsize(code)))[0])

    return {
        b"\x80": lambda m: m.trace.take(1),  # PROTO
        b"\x95": lambda m: m.frame(),
        b"(": lambda m: m.stack.append(_MARK),
        b"0": _pop_or_mark,
        b"1": lambda m: m.to_mark(),
        b"2": lambda m: m.push(m.top()),
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),  # noqa: FBT003
        b"\x89": lambda m: m.push(False),  # noqa: FBT003
        b"I": lambda m: m.integer(),
        b"L": lambda m: m.integer(),
        b"F": lambda m: m.real(),
        b"G": fixed(">d"),
        b"J": fixed("<i"),
        b"K": fixed("<B"),
        b"M": fixed("<H"),
        b"\x8a": lambda m: m.long(1),
        b"\x8b": lambda m: m.long(4),
        b"S": lambda m: m.quoted(),
        b"V": lambda m: m.escaped(),
        b"U": lambda m: m.string(1),
        b"T": lambda m: m.string(4),
        b"X": lambda m: m.text(4),
        b"\x8c": lambda m: m.text(1),
        b"\x8d": lambda m: m.text(8),
        b"B": lambda m: m.blob(4),
        b"C": lambda m: m.blob(1),
        b"\x8e": lambda m: m.blob(8),
        b"\x96": lambda m: m.blob(8),
        b"\x97": lambda m: m.push(_UNKNOWN),  # NEXT_BUFFER
        b"\x98": lambda m: m.top(),  # READONLY_BUFFER
        b"]": lambda m: m.push([]),
        b"l": lambda m: m.push(m.to_mark()),
        b"a": lambda m: m.append(),
        b"e": lambda m: m.appends(),
        b"}": lambda m: m.push({}),
        b"d": lambda m: m.dictionary(),
        b"s": lambda m: m.set_items(list(reversed([m.pop(), m.pop()]))),
        b"u": lambda m: m.set_items(m.to_mark()),
        b"\x8f": lambda m: m.push([]),  # EMPTY_SET
        b"\x90": lambda m: m.appends(),  # ADDITEMS
        b"\x91": lambda m: m.push(m.to_mark()),  # FROZENSET
        b")": lambda m: m.push(()),
        b"t": lambda m: m.push(tuple(m.to_mark())),
        b"\x85": lambda m: m.tuple_of(1),
        b"\x86": lambda m: m.tuple_of(2),
        b"\x87": lambda m: m.tuple_of(3),
        b"g": lambda m: m.get_by_line(),
        b"h": lambda m: m.get(m.number(1)),
        b"j": lambda m: m.get(m.number(4)),
        b"p": lambda m: m.put_by_line(),
        b"q": lambda m: m.put(m.number(1)),
        b"r": lambda m: m.put(m.number(4)),
        b"\x94": lambda m: m.put(len(m.memo)),
        b"c": lambda m: m.push(m.by_lines()),
        b"\x93": lambda m: m.by_stack(),
        b"i": lambda m: m.instance(),
        b"o": lambda m: m.object_of(),
        b"R": lambda m: m.reduce(),
        b"\x81": lambda m: m.new(),
        b"\x92": lambda m: m.new_with_keywords(),
        b"b": lambda m: m.build(),
        b"\x82": lambda m: m.extension(1),
        b"\x83": lambda m: m.extension(2),
        b"\x84": lambda m: m.extension(4),
        b"P": lambda m: m.push(Persistent(m.trace.line())),
        b"Q": lambda m: m.push(Persistent(m.pop())),
    }


_HANDLERS = _handlers()
