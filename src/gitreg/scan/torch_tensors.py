"""Find the tensors in what a PyTorch pickle builds."""

from __future__ import annotations

from gitreg.scan.headers.source import MAX_NAME, MAX_RANK, MAX_TENSORS, Tensor
from gitreg.scan.pickled import Call, Global, Persistent

_REBUILDS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", "torch._utils._rebuild_qtensor")
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
_DTYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
_MAX_VISITS = 2_000_000
_MAX_DEPTH = 100


def tensors_in(root: object) -> list[Tensor]:
    """List the tensors of a state dict or a module, named by the way to them (`encoder.weight`)."""
    found: list[Tensor] = []
    seen: set[int] = set()
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    for _ in range(_MAX_VISITS):
        if not waiting or len(found) > MAX_TENSORS:
            break
        name, value, depth = waiting.pop()
        tensor = _tensor(name, value)
        if tensor is not None:
            found.append(tensor)
        elif depth < _MAX_DEPTH and isinstance(value, dict | list | tuple | Call) and id(value) not in seen:
            seen.add(id(value))
            inner = [(f"{name}.{key}".lstrip("."), item, depth + 1) for key, item in _inside(value)]
            waiting += reversed([each for each in inner if len(each[0]) <= MAX_NAME])
    return found


def _inside(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Call):
        rows = _inside(value.state) + _inside(value.items)
        return rows + (_inside(value.arguments) if _calls(value, _PARAMETERS) or not rows else [])
    if isinstance(value, dict):
        return [(_step(key), item) for key, item in value.items() if isinstance(item, dict | list | tuple | Call)]
    if isinstance(value, list | tuple):
        return [("" if len(value) <= 2 else str(index), item) for index, item in enumerate(value)]  # noqa: PLR2004 - a state of two parts
    return []


def _step(key: object) -> str:
    return "" if key in {"_parameters", "_buffers", "_modules", "state_dict"} else str(key)[:200]


def _calls(value: Call, names: tuple[str, ...]) -> bool:
    return isinstance(value.function, Global) and str(value.function) in names


def _tensor(name: str, value: object) -> Tensor | None:
    if not isinstance(value, Call) or not _calls(value, _REBUILDS) or not isinstance(value.arguments, tuple):
        return None
    storage, size = (*value.arguments[:1], *value.arguments[2:3]) if len(value.arguments) > 2 else (None, None)  # noqa: PLR2004
    if not isinstance(size, tuple) or len(size) > MAX_RANK or not all(isinstance(each, int) for each in size):
        return None
    key = storage.key if isinstance(storage, Persistent) else None
    kind = key[1] if isinstance(key, tuple) and len(key) > 1 and key[0] == "storage" else None
    dtype = kind.name.removesuffix("Storage") if isinstance(kind, Global) else ""
    return Tensor(name, _DTYPES.get(dtype, dtype.lower() or "unknown"), tuple(size))
