from __future__ import annotations

import bz2
import collections
import datetime as dt
import decimal
import gzip
import importlib
import io
import lzma
import os
import pickle
import pickletools
import shutil
import struct
import subprocess
import zlib
from typing import TYPE_CHECKING

import joblib  # type: ignore[import-untyped] # it has no types
import numpy as np
import pytest

from gitreg.scan import Format, Tensor
from gitreg.scan.headers.source import HeaderError, Source
from gitreg.scan.imports import Verdict, dangerous, verdict
from gitreg.scan.pickled import Global
from gitreg.scan.tracing import _HANDLERS, Trace
from tests.scan.samples import inspected, npy, npz, problem_of, tarred, zipped

if TYPE_CHECKING:
    from collections.abc import Callable


class Runs:
    """Something whose unpickling calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.what = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.what


EVIL = pickle.dumps({"w": Runs(os.system, "id")}, 2)


def called(module: str, name: str) -> bytes:
    """Write a pickle that calls a function, whether it exists here or not."""
    return f"c{module}\n{name}\n(S'id'\ntR.".encode()


def saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


TORCH = zipped({"m/data.pkl": EVIL, "m/version": b"3\n", "m/data/0": bytes(64)})
_PARTS: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})
LEGACY = b"".join(pickle.dumps(part, 2) for part in _PARTS)

BAD: dict[str, bytes] = {
    **{f"protocol-{number}.pkl": pickle.dumps({"w": Runs(os.system, "id")}, number) for number in range(6)},
    "eval.pkl": pickle.dumps(Runs(eval, "1")),
    "exec.pkl": pickle.dumps(Runs(exec, "1")),
    "open.pkl": pickle.dumps(Runs(open, "x", "w")),
    "popen.pkl": pickle.dumps(Runs(subprocess.Popen, ["id"])),
    "import.pkl": pickle.dumps(Runs(importlib.import_module, "x")),
    "rmtree.pkl": pickle.dumps(Runs(shutil.rmtree, "/x")),
    "loads.pkl": pickle.dumps(Runs(pickle.loads, EVIL)),
    "getattr.pkl": b"cbuiltins\ngetattr\n(cos\npath\nS'join'\ntR.",
    "inst.pkl": b"(S'id'\nios\nsystem\n.",
    "obj.pkl": b"(cos\nsystem\nS'id'\no.",
    "newobj.pkl": b"\x80\x02csubprocess\nPopen\n(S'id'\nt\x81.",
    "newobj-ex.pkl": b"\x80\x04csubprocess\nPopen\n(S'id'\nt}\x92.",
    "memo.pkl": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93(S'id'\ntR.",
    "put.pkl": b"\x80\x04\x8c\x02osq\x05\x8c\x06systemq\x0600h\x05h\x06\x93(S'id'\ntR.",
    "popped.pkl": b"\x80\x04\x8c\x02os\x8c\x06system\x8c\x04junk0\x93\x8c\x02id\x85R.",
    "dotted.pkl": b"\x80\x04\x8c\x07logging\x8c\x09os.system\x93\x8c\x02id\x85R.",
    "dotted-in-package.pkl": b"\x80\x04\x8c\x11numpy._core.umath\x8c\x09os.system\x93\x8c\x02id\x85R.",
    "computed.pkl": b"\x80\x04cos\npath\n)\x81\x8c\x06system\x93\x8c\x02id\x85R.",
    "extension.pkl": b"\x80\x02\x82\x01(S'id'\ntR.",
    "calls-a-result.pkl": b"\x80\x02cmypackage\nMaker\n)R(S'id'\ntR.",
    "changes-a-class.pkl": b"\x80\x02cmypackage\nThing\n}X\x01\x00\x00\x00aK\x01sb.",
    "second.pkl": pickle.dumps([1]) + EVIL,
    "torch.pt": TORCH,
    "torch.bin": TORCH,
    "torch-other-name.pt": zipped({"m/data.pkl": pickle.dumps({}, 2), "m/config.p": EVIL}),
    "legacy.pth": LEGACY + EVIL + pickle.dumps([], 2),
    "model.pkl.gz": gzip.compress(EVIL),
    "zlib.joblib": zlib.compress(EVIL),
    "bz2.joblib": bz2.compress(EVIL),
    "xz.joblib": lzma.compress(EVIL),
    "after-array.joblib": saved({"x": np.arange(100.0), "w": Runs(os.system, "id")}),
    "after-array-packed.joblib": saved({"x": np.arange(100.0), "w": Runs(os.system, "id")}, compress=3),
    "in-array.joblib": saved({"x": np.array([Runs(os.system, "id"), None], dtype=object)}),
    "objects.npy": npy(np.array([Runs(os.system, "id")], dtype=object), allow_pickle=True),
    "objects.npz": npz(a=np.zeros(3), w=np.array([Runs(os.system, "id")], dtype=object)),
    "as.safetensors": EVIL,
    "as.onnx": EVIL,
    "as.txt": pickle.dumps({"w": Runs(os.system, "id")}, 0),
    "in.zip": zipped({"a/b.bin": EVIL}),
    "in.tar": tarred({"a/b.bin": EVIL}),
    "in.tar.gz": tarred({"a/b.bin": EVIL}, "w:gz"),
    "zip-in.zip": zipped({"inner.bin": TORCH}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_pickle_that_runs_something_is_found_out(name: str) -> None:
    found = inspected(BAD[name], name)
    assert found.runs_code
    assert found.dangers or found.problem, found


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'id'\ntR\xff\xff\xff",
        b"cos\nsystem\n(S'id'\ntR",
        b"\x80\x04\x95\xff\0\0\0\0\0\0\0cos\nsystem\n(S'id'\ntRX\xff\xff\xff\x7f",
    ],
)
def test_a_pickle_that_breaks_off_is_refused_with_what_came_before(data: bytes) -> None:
    assert "before that it imports os.system" in problem_of(data, "a.pkl")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02h\x05.",  # a memo that is not there
        b"\x80\x020.",
        b"\x80\x02t.",
        b"\x80\x02(.",
        b"\x80\x02}K\x01(u0(K\x01u.",  # a key without a value
        b"\x80\x02(o.",
        b"\x80\x02Sx\n.",
        b"\x80\x02Ix\n.",
        b"\x80\x02Px",
        b"\x80\x02p-1\n.",
        b"\x80\x02]p-1\n.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02X\xff\xff\xff\xff.",
        b"\x80\x02\x8e" + b"\xff" * 8 + b".",
        b"\x80\x02\xee.",
    ],
)
def test_what_no_unpickler_would_follow_is_refused(data: bytes) -> None:
    assert problem_of(data, "a.pkl")


TRICKS = [
    ("a.pt", TORCH.replace(struct.pack("<I", zlib.crc32(EVIL)), bytes(4))),  # a checksum that is wrong
    ("a.pt", b"#!/bin/sh\n" + TORCH),
    ("a.pt", TORCH[: TORCH.index(b"PK\1\2")] + TORCH[TORCH.index(b"PK\1\2") :].replace(b"m/data.pkl", b"m/data.pk_")),
]


@pytest.mark.parametrize(("name", "data"), TRICKS)
def test_a_torch_file_that_hides_its_pickle_from_other_scanners_is_not_passed(name: str, data: bytes) -> None:
    found = inspected(data, name)
    assert found.dangers or found.problem


# What a scanner has to know to be dangerous; nobody's list has all of them.
NAMES = [
    *[
        "os.system",
        "posix.system",
        "nt.system",
        "subprocess.run",
        "timeit.timeit",
        "cProfile.run",
        "profile.run",
        "pdb.run",
    ],
    *["trace.Trace", "doctest.debug_script", "pydoc.locate", "pydoc.pipepager", "ensurepip._run_pip", "venv.main"],
    *["code.InteractiveInterpreter", "zipimport.zipimporter", "imaplib.IMAP4_stream", "urllib.request.urlopen"],
    *["multiprocessing.util.spawnv_passfds", "_posixsubprocess.fork_exec", "_osx_support._find_build_tool"],
    *["platform.popen", "commands.getoutput", "sqlite3.connect", "ctypes.CDLL", "linecache.getlines", "marshal.loads"],
    *["logging.config._resolve", "pkgutil.resolve_name", "unittest.mock._importer", "types.FunctionType"],
    *[
        "functools.partial",
        "operator.attrgetter",
        "operator.methodcaller",
        "io.FileIO",
        "builtins.compile",
        "atexit.register",
    ],
    *["__builtin__.eval", "runpy.run_path", "webbrowser.open", "asyncio.unix_events._UnixSubprocessTransport"],
    *["numpy.testing._private.utils.runstring", "numpy.f2py.crackfortran.getlincoef", "numpy._core._ufunc_reconstruct"],
    *["torch.load", "torch.hub.load", "torch.storage._load_from_bytes", "torch.serialization.load"],
    *["torch.utils.cpp_extension.load_inline", "torch._inductor.codecache.compile_file", "joblib.load"],
    *["pandas.read_pickle", "pandas.eval", "pip._internal.cli.main.main", "setuptools.sandbox.run_setup"],
    *["cloudpickle.cloudpickle._make_function", "dill._dill._create_function", "dill.loads", "sympy.sympify"],
    *["numpy.memmap", "numpy.fromfile", "numpy.lib._npyio_impl.DataSource", "pandas.read_csv", "package.load_model"],
    *["yaml.unsafe_load", "requests.get", "fsspec.open", "keras.utils.get_file", "requests.api.get"],
]


@pytest.mark.parametrize("name", NAMES)
def test_a_dangerous_import_is_known(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = inspected(called(module, attribute), "a.pkl")
    assert found.dangers == (name,)
    assert found.imports == (name,)


def test_a_list_of_picklescan_s_own_is_asked_as_well() -> None:
    known_there = Global("aiohttp.client", "ClientSession")
    assert verdict(Global("torch.jit.unsupported_tensor_ops", "execWrapper")) is Verdict.UNKNOWN
    assert dangerous([Global("torch.jit.unsupported_tensor_ops", "execWrapper")]) == [
        "torch.jit.unsupported_tensor_ops.execWrapper"
    ]
    assert dangerous([known_there, Global("sklearn.svm", "SVC")]) == ["aiohttp.client.ClientSession"]
    assert dangerous([Global("a\nb", "c")]) == ["a\nb.c"]


# --- what is harmless passes ----------------------------------------------------------------------------------------

PLAIN = {
    "text": "x" * 10_000,
    "list": [1, 2.5, None, True, 1 << 80, -(1 << 3000)],
    "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "when": dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
    "order": collections.OrderedDict(a=1),
    "counts": collections.defaultdict(list, {"a": [1]}),
    "exact": decimal.Decimal("1.5"),
    "sets": ({1, 2}, frozenset({3})),
    "bytes": (b"ab", bytearray(b"cd"), bytes(100_000)),
    "array": np.arange(12.0).reshape(3, 4),
    "number": np.float32(3),
    "random": np.random.RandomState(1),
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_passes_in_every_protocol(protocol: int) -> None:
    found = inspected(pickle.dumps(PLAIN, protocol), "a.pkl")
    assert found.problem is None
    assert found.dangers == ()
    assert "collections.OrderedDict" in found.imports


ARRAYS = {
    "floats": np.zeros((10, 10)),
    "strings": np.array(["a", "bb"]),
    "records": np.zeros(3, dtype=[("a", "f4"), ("b", "i8")]),
    "objects": np.array([{}, None, np.arange(3)], dtype=object),
    "dates": np.array(["2020"], dtype="M8[D]"),
    "none": np.zeros((0, 3)),
    "last": "end",
}


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_in_the_middle_of_joblib_s_pickles_are_passed_over(compress: object, protocol: int) -> None:
    found = inspected(saved(ARRAYS, compress=compress, protocol=protocol), "a.joblib")
    assert found.problem is None
    assert found.dangers == ()
    assert found.details["arrays"] == 6
    assert found.format == Format.JOBLIB


def test_the_tensors_of_a_torch_checkpoint_are_listed() -> None:
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\0"
    rest = b"X\x03\0\0\0cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
    state = (
        b"\x80\x02}X\x05\0\0\0model}(X\x01\0\0\0a"
        + rebuild
        + b"0"
        + rest
        + b"X\x01\0\0\0b"
        + rebuild
        + b"1"
        + rest
        + b"us."
    )
    found = inspected(zipped({"m/data.pkl": state, "m/version": b"3\n", "m/data/0": bytes(12)}), "a.pt")
    assert found.problem is None
    assert found.tensors == (Tensor("model.a", "float16", (2, 3)), Tensor("model.b", "float16", (2, 3)))
    assert found.parameters == 12
    assert found.dangers == ()


def test_the_bytes_after_a_legacy_checkpoint_are_no_pickle() -> None:
    data = LEGACY + pickle.dumps({}, 2) + pickle.dumps([], 2) + b"(lp0\n" + bytes(100)
    found = inspected(data, "a.pth")
    assert (found.format, found.problem, found.notes) == (Format.TORCH, None, ())


def test_what_follows_a_pickle_is_told() -> None:
    assert inspected(pickle.dumps([1]) + b"\0\0\0", "a.pkl").notes == ("3 bytes follow the last pickle",)


# --- the machine ----------------------------------------------------------------------------------------------------


def test_every_opcode_of_python_is_followed() -> None:
    assert {opcode.code.encode("latin-1") for opcode in pickletools.opcodes} == _HANDLERS.keys() | {b"."}


def test_the_object_is_built_as_an_unpickler_would() -> None:
    value = {"a": [1, "two", (b"three", None)], "b": {"c": True}, "d": [[], {}, ()]}
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        assert Trace(Source(io.BytesIO(data), len(data))).run() is not None
        if protocol > 2:
            assert Trace(Source(io.BytesIO(data), len(data))).run() == value


def test_endless_work_is_refused() -> None:
    from unittest.mock import patch

    data = b"\x80\x02" + b"N0" * 500 + b"N."
    with patch("gitreg.scan.tracing.MAX_OPCODES", 100), pytest.raises(HeaderError, match="more than 100 opcodes"):
        Trace(Source(io.BytesIO(data), len(data))).run()
    many = b"\x80\x02" + b"".join(b"ca\nb%d\n0" % number for number in range(20)) + b"N."
    with patch("gitreg.scan.tracing.MAX_IMPORTS", 10), pytest.raises(HeaderError, match="more than 10 imports"):
        Trace(Source(io.BytesIO(many), len(many))).run()


def test_a_compressed_bomb_is_not_unpacked_whole() -> None:
    from unittest.mock import patch

    with patch("gitreg.scan.loaded.unpack.__defaults__", (1000,)):
        assert "unpacks to more than 1,000 bytes" in problem_of(zlib.compress(pickle.dumps(bytes(5000))), "a.joblib")
