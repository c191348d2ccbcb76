"""Judge what a pickle imports: known to build plain data, known to be dangerous, or neither.

A list of what is dangerous is never complete, so the standard library and NumPy are judged the other way round: what is
not known to be harmless there is dangerous. For packages, whose classes nobody can list, there are both lists, and
picklescan's.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitreg.scan.pickled import Global


class Verdict(StrEnum):
    """What to think of an import."""

    SAFE = "safe"
    UNKNOWN = "unknown"
    DANGEROUS = "dangerous"


_TORCH_STORAGES = (
    "Float Double Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble QInt8 QInt32 QUInt8"
)
_TORCH_TYPES = "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 bool complex64 complex128 strided"
_SAFE = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "__builtin__": "bool bytearray bytes complex dict float frozenset int list long object set slice str tuple unicode "
    "xrange",
    "_codecs": "encode",
    "array": "array _array_reconstructor",
    "collections": "Counter OrderedDict defaultdict deque",
    "copy_reg": "_reconstructor",
    "copyreg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "pathlib": "PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "random": "Random",
    "types": "SimpleNamespace",
    "uuid": "UUID SafeUUID",
    "zoneinfo": "ZoneInfo._unpickle",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    **dict.fromkeys(("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct scalar"),
    **dict.fromkeys(("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
    **dict.fromkeys(("numpy.core.records", "numpy._core.records", "numpy.rec"), "recarray record"),
    "numpy": "bool bool_ bytes_ complex128 complex64 datetime64 dtype float16 float32 float64 int16 int32 int64 int8 "
    "longdouble longlong matrix ndarray object_ poly1d recarray record str_ timedelta64 uint16 uint32 uint64 uint8 "
    "ulonglong void",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray MaskedConstant _mareconstruct",
    "numpy.matrixlib.defmatrix": "matrix",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random._generator": "Generator",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "numpy.random.mtrand": "RandomState",
    "torch": f"Size device {_TORCH_TYPES} " + " ".join(f"{each}Storage" for each in _TORCH_STORAGES.split()),
    "torch._utils": "_rebuild_parameter _rebuild_qtensor _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2",
    "torch.nn.parameter": "Parameter",
    "torch.storage": "TypedStorage UntypedStorage",
    "torch.jit._pickle": "build_boollist build_doublelist build_intlist build_tensorlist restore_type_tag",
}


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_SAFE_NAMES = {module: _words(names) for module, names in _SAFE.items()}

# The modules of Python, and those that an unpickler takes for them in pickles of Python 2.
_STANDARD = sys.stdlib_module_names | {name.partition(".")[0] for name in IMPORT_MAPPING} | {"posix", "nt"}

# Packages, and parts of packages, that load, import, run or send things on request; those of pickled code as well.
_BAD_MODULES = _words(
    "Cython IPython _pytest aiohttp asyncssh boto3 botocore celery cffi click cloudpickle dask dill distutils",
    "django fabric fire flask fsspec future httpx invoke ipykernel jinja2 joblib jupyter_client",
    "keras mako mlflow nltk nox numba numpy.distutils numpy.f2py numpy.testing",
    "pandas.core.computation pandas.io paramiko pexpect pip pkg_resources plumbum psutil ptyprocess py pytest",
    "pyximport requests setuptools sh six smart_open sympy tensorflow tf_keras torch._dynamo torch._inductor",
    "torch.distributed torch.fx torch.hub torch.jit.frontend torch.onnx torch.package torch.testing torch.utils",
    "twisted urllib3 virtualenv win32api win32com yaml zmq",
)
_BAD_NAMES = _words(
    "NDArrayWrapper NumpyArrayWrapper ZNDArrayWrapper",  # joblib's own, by other names than its own
    "__import__ __newobj_ex__ _load_from_bytes _ufunc_reconstruct breakpoint call check_call check_output compile",
    "delattr eval exec execfile execv execve execvp fork getattr getstatusoutput globals import_module input",
    "literal_eval load load_module loads locals locate open popen query read_pickle run_code run_module run_path",
    "runcode runfile runstring setattr spawn spawnl spawnv subimport system vars",
)
_BAD_STARTS = tuple(_words("download exec_ fetch_ load_ open_ popen read_ run_ save_ spawn urlopen write_"))


def verdict(found: Global) -> Verdict:
    """Judge an import by gitreg's own lists."""
    module, name = found.module, found.name
    if name in _SAFE_NAMES.get(module, ()):
        return Verdict.SAFE
    top = module.partition(".")[0]
    if module == "numpy.dtypes" and name.isidentifier() and name.endswith("DType"):
        return Verdict.SAFE
    if top == "numpy" or top in _STANDARD:
        return Verdict.DANGEROUS
    parents = module.split(".")
    if any(".".join(parents[:count]) in _BAD_MODULES for count in range(1, len(parents) + 1)):
        return Verdict.DANGEROUS
    # `name` may lead through attributes: a module that has imported os leads to os.system.
    steps = name.split(".")
    if any(step in _BAD_NAMES or step.startswith(("__", *_BAD_STARTS)) for step in steps):
        return Verdict.DANGEROUS
    if any(step in _STANDARD or step in _BAD_MODULES for step in steps):
        return Verdict.DANGEROUS
    return Verdict.UNKNOWN


def dangerous(imports: Iterable[Global]) -> list[str]:
    """Name the dangerous ones: by our lists, or by picklescan's."""
    verdicts = {each: verdict(each) for each in imports}
    bad = {str(each) for each, found in verdicts.items() if found is Verdict.DANGEROUS}
    unknown = [each for each, found in verdicts.items() if found is Verdict.UNKNOWN]
    return sorted(bad | _listed(unknown))


def _listed(imports: list[Global]) -> set[str]:
    """Ask picklescan about names: in a pickle that imports them and does nothing, which it is sure to read."""
    if not imports:
        return set()
    import io

    from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # type: ignore[import-untyped] # it has no types

    plain = [each for each in imports if "\n" not in f"{each.module}{each.name}"]
    data = b"".join(f"c{each.module}\n{each.name}\n0".encode("utf-8", "replace") for each in plain)
    result = scan_pickle_bytes(io.BytesIO(data + b"N."), "imports")
    bad = {str(each) for each in imports if each not in plain}
    return bad | {f"{each.module}.{each.name}" for each in result.globals if each.safety is SafetyLevel.Dangerous}
