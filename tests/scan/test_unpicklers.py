"""What Python's own unpicklers do is the measure: whatever they import, call or change, the scan has to see."""

from __future__ import annotations

import _pickle
import io
import pickle
import random
import struct
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.scan.headers.source import BreaksOffError, HeaderError, Source, TwoWaysError
from gitreg.scan.loaded import may_be_pickle
from gitreg.scan.tracing import Trace

if TYPE_CHECKING:
    from collections.abc import Callable


# --- unpicklers that import nothing ---------------------------------------------------------------------------------


class Seen:
    """What an unpickler asked for, and whether it called or changed any of it."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.acted = False


class Thing:
    """A stand-in for what is imported: notes that it is called, changed or filled."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def __call__(self, *_arguments: object) -> Thing:
        self.seen.acted = True
        return Thing(self.seen)

    def note(self, *_arguments: object) -> None:
        self.seen.acted = True

    __setstate__ = __setitem__ = append = extend = add = note


def found(seen: Seen, module: str, name: str) -> object:
    seen.names.add(f"{module}.{name}")
    if name.endswith("\r"):
        raise ImportError

    class Made:
        def __new__(cls, *_arguments: object, **_keywords: object) -> Any:  # noqa: ANN401 - as a class may
            seen.acted = True
            return object.__new__(cls)

    return {"K": Made, "name": "posix", "Text": str}.get(name) or Thing(seen)


class InC(_pickle.Unpickler):
    """The unpickler that `pickle.load` has."""

    seen: Seen

    def find_class(self, module: str, name: str) -> object:
        return found(self.seen, module, name)


class InPython(pickle._Unpickler):
    """The unpickler that joblib's derives from."""

    seen: Seen

    def find_class(self, module: str, name: str) -> object:
        return found(self.seen, module, name)


UNPICKLERS: dict[str, Callable[[bytes], Any]] = {
    "in C": lambda data: InC(io.BytesIO(data)),
    "in C, of a file that it can look ahead in": lambda data: InC(io.BufferedReader(io.BytesIO(data))),
    "in Python": lambda data: InPython(io.BytesIO(data)),
}


def seen_by(unpickler: str, data: bytes) -> Seen:
    seen = Seen()
    try:
        made = UNPICKLERS[unpickler](data)
        made.seen = seen
        made.load()
    except Exception:  # noqa: BLE001, S110 - however it fails: what it did before counts
        pass
    return seen


def missed(data: bytes) -> str:
    """Say what an unpickler does with a stream that the scan does not see; "" where nothing."""
    trace = Trace(Source(io.BytesIO(data), len(data)))
    sure = True
    try:
        trace.run()
    except TwoWaysError:
        sure = False
    except HeaderError:
        pass
    is_pickle = may_be_pickle(Source(io.BytesIO(data), len(data)))
    for name in UNPICKLERS:
        seen = seen_by(name, data)
        if seen.acted and not is_pickle:
            return f"the unpickler {name} calls or changes something"
        if sure and not trace.dangers and not seen.names <= trace.imports.keys():
            return f"the unpickler {name} imports {seen.names - trace.imports.keys()}"
    return ""


# --- streams by hand ------------------------------------------------------------------------------------------------

IMPORT = b"cposix\nsystem\n"
CALL = IMPORT + b"(S'id'\ntR."


def frame(length: int) -> bytes:
    return b"\x95" + struct.pack("<Q", length)


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


LONG = text(b"a" * 100_000) + b"0"  # detection looks no further than 64 KiB
TRICKS: dict[str, bytes] = {
    "a number of base 16": b"I0x1\n0" + CALL,
    "a long number of base 16": b"L0x1L\n0" + CALL,
    "a number of base 8": b"I010\n0" + CALL,
    "a number with underscores": b"I1_0\n0" + CALL,
    "a number with spaces": b"I" + b" " * 300 + b"1 \n0" + CALL,
    "a number before a NUL": b"I1\0 what follows\n0" + CALL,
    "a memo with a long name": b"Np" + b" " * 5_000 + b"1\ng1\n" + CALL,
    "a memo before a NUL": b"Np1\0x\ng1\n" + CALL,
    "a memo that is asked for with spaces": b"Np1\ng 1 \n" + CALL,
    "a frame in a frame": frame(12) + frame(0) + CALL,
    "a frame that is longer than the file": frame(500) + CALL,
    "a frame that ends in a line": b"\x80\x04" + frame(4) + b"caaa" + CALL[1:],
    "a frame that ends in a text": b"\x80\x04" + frame(7) + text(b"aa") + b"0" + CALL,
    "a frame that ends in a number": frame(3) + b"Iab1\n0" + CALL,
    "a frame that ends in a frame": frame(5) + frame(4) + CALL,
    "a frame that ends in a memo": b"N" + frame(2) + b"px1\ng1\n" + CALL,
    "an import that is changed": LONG + b"cos\npath\n(dS'isdir'\n" + IMPORT + b"sb.",
    "an import that is filled": LONG + b"cos\nenviron\nS'LD_PRELOAD'\nS'x'\ns.",
    "an import that is appended to": LONG + b"csys\npath\nS'x'\na.",
    "an import that is extended": LONG + b"csys\npath\n(S'x'\ne.",
    "a name that is too long to be kept": LONG + text(b"os") + text(b"path.os." * 600 + b"system") + b"\x93(S'id'\ntR.",
    "a long line for a name": LONG + b"cos\n" + b"path.os." * 600 + b"system\n(S'id'\ntR.",
    "a long escaped line for a name": LONG + text(b"os") + b"V" + b"path.os." * 600 + b"system\n\x93(S'id'\ntR.",
    "a module that is the value of an import": LONG + b"cos\nname\n" + text(b"system") + b"\x93(S'id'\ntR.",
    "a module that a class makes": LONG
    + b"ctyping\nText\n"
    + text(b"posix")
    + b"\x85\x81"
    + text(b"system")
    + b"\x93)R.",
    "a name that no language has": LONG + b"csh\n/bin/sh\n(S'id'\ntR.",
    "a last line without its end": LONG + b"(S'id'\niposix\nsystem?",
}


@pytest.mark.parametrize("name", TRICKS)
def test_what_an_unpickler_reads_in_its_own_way_is_seen(name: str) -> None:
    data = TRICKS[name]
    assert any(seen_by(unpickler, data).acted for unpickler in UNPICKLERS), "a trick that works on nobody"
    assert missed(data) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"Introduction\n" + CALL,
        b"L\n" + CALL,
        b"g 1\n" + CALL,
        b"p 1\n" + CALL,
        b"Np-1\n" + CALL,
        b"Npx\n" + CALL,
        b"K\1" + text(b"system") + b"\x93)R.",
        b"(text in brackets\nand more\n",
        b"(i.e.\n",
        b"(i\xff\xff\nsystem\n.",
        frame(1 << 60) + b"N.",
        frame(1 << 60) + b"N" + frame(5) + CALL,
    ],
)
def test_where_every_unpickler_fails_there_is_no_pickle(data: bytes) -> None:
    assert not any(seen_by(unpickler, data).acted for unpickler in UNPICKLERS if not data.startswith(b"(")), data
    assert not may_be_pickle(Source(io.BytesIO(data), len(data)))


def test_a_number_that_is_cut_off_says_nothing_yet() -> None:
    for data in (b"I", b"I 12", b"Np", b"(iposix\nsys\xc3\xa9", b"F1"):
        assert may_be_pickle(Source(io.BytesIO(data), len(data))) is None
        with pytest.raises(BreaksOffError):
            Trace(Source(io.BytesIO(data), len(data))).run()


# --- streams by chance ----------------------------------------------------------------------------------------------

NUMBERS = [
    b"0",
    b"1",
    b"00",
    b"01",
    b"0x1",
    b"0X1f",
    b"010",
    b" 1",
    b"1 ",
    b"+1",
    b"-1",
    b"1_0",
    b"1L",
    b"",
    b"1\0x",
    b"x",
]
QUOTED = [b"'a'", b"'\\x41'", b"'\\q'", b"''", b"'\xff'", b"'\\'", b"'a\"", b"'a' ", b"'os'\r"]
FIXED = [
    *[b"(", b"(", b"(", b"0", b"1", b"2", b"N", b"\x88", b"]", b"}", b")", b")", b"t", b"\x8f", b"\x90", b"\x91", b"e"],
    *[b"a", b"s", b"u", b"d", b"l", b"\x94", b"\x85", b"\x86", b"\x87", b"\x93", b"\x93", b"R", b"b", b"o", b"\x81"],
    *[b"\x92", b"\x97", b"\x98", b"Q", b".", b"J\0\0\0\0", b"K\1", b"M\1\0", b"G" + bytes(8), b"C\x01a", b"\x8a\x01a"],
    *[b"Pid\n", b"U\x02os", b"\x8c\x02os", b"\x8c\x01K", b"\x8c\x01f"],
    *[b"cos\nK\n", b"cos\nf\n", b"cos\nname\n", b"ctyping\nText\n", b"c\xc3\xa9\nf\n", b"cos\r\nf\r\n", b"(ios\nf\n"],
    *[b"Vos\n", b"V\\u0041\n", b"V\\ud800\n", b"V\\uZZ\n", b"V\xe9\n", text(b"\xed\xa0"), text(b"os")],
]
ENDS = [
    b"cos\nf\n)R.",
    b"cos\nK\n)\x81.",
    b"cos\nK\n)}\x92.",
    b"(ios\nf\n.",
    b"(cos\nf\no.",
    b"\x8c\x02os\x8c\x01f\x93)R.",
]


def fragment(chance: random.Random) -> bytes:
    match chance.randrange(12):
        case 0:
            return chance.choice([b"I", b"L", b"F", b"g", b"p"]) + chance.choice(NUMBERS) + b"\n"
        case 1:
            return b"S" + chance.choice(QUOTED) + b"\n"
        case 2:
            return chance.choice([b"q", b"h"]) + bytes([chance.randrange(3)])
        case 3:  # no LONG_BINPUT: where a frame cuts it off, the unpickler in C takes gigabytes for its memo
            return b"j" + struct.pack("<I", chance.randrange(3))
        case 4:
            return frame(chance.choice([0, 1, 3, 4, 5, 6, 9, 12, 300]))
        case 5:
            return b"\x80" + bytes([chance.choice([0, 2, 4, 5, 6])])
        case 6:
            return b"\x8b" + struct.pack("<i", chance.choice([0, 1, -1]))
        case _:
            return chance.choice(FIXED)


def stream(chance: random.Random) -> bytes:
    return b"".join(fragment(chance) for _ in range(chance.randrange(1, 7))) + chance.choice(ENDS)


def test_whatever_an_unpickler_does_with_a_stream_by_chance_is_seen() -> None:
    chance = random.Random(20261123)
    acted = 0
    for _ in range(8_000):
        data = stream(chance)
        assert missed(data) == "", data
        acted += seen_by("in C", data).acted
    assert acted > 500
