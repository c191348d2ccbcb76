"""Read ONNX models (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)."""

from __future__ import annotations

from gitreg.scan.headers.protobuf import MAX_DEPTH, Field, Messages
from gitreg.scan.headers.source import MAX_RANK, MAX_TENSORS, Facts, Source, Tensor, bytes_of, checked_shape, refuse

# TensorProto.DataType → name, bits of an element (0: no fixed size).
_DTYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    8: ("string", 0),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    14: ("complex64", 64),
    15: ("complex128", 128),
    16: ("bfloat16", 16),
    17: ("float8e4m3fn", 8),
    18: ("float8e4m3fnuz", 8),
    19: ("float8e5m2", 8),
    20: ("float8e5m2fnuz", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
    23: ("float4e2m1", 4),
    24: ("float8e8m0", 8),
    25: ("uint2", 2),
    26: ("int2", 2),
}
_MAX_FEATURES = 10_000  # inputs or outputs
_EXTERNAL = 1  # TensorProto.DataLocation


def read(source: Source) -> Facts:
    """Read a model's graph: tensors, inputs, outputs, and the files that hold tensors beside it."""
    model = _Model(source)
    details: dict[str, str | int] = {}
    for field in model.messages.fields(0, source.size, "the model"):
        if field.number == 1:
            details["ir_version"] = field.value
        elif field.number == 2:  # noqa: PLR2004 - the numbers are those of onnx.proto, here and below
            details["producer"] = model.messages.text(field, "the producer's name")[:80]
        elif field.number == 8:  # noqa: PLR2004
            model.opset(field, details)
        elif field.number == 7:  # noqa: PLR2004
            model.graph(field, "", 0)
        elif field.number == 25:  # noqa: PLR2004
            model.function(field)
    weights = {tensor.name for tensor in model.tensors}
    return Facts(
        tensors=tuple(model.tensors),
        inputs=tuple(each for each in model.inputs if each.name not in weights),
        outputs=tuple(model.outputs),
        details={key: value for key, value in details.items() if value != ""},
        files=model.files,
    )


class _Model:
    """What the walk through a model has found."""

    def __init__(self, source: Source) -> None:
        self.messages = Messages(source)
        self.tensors: list[Tensor] = []
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.files: dict[str, int] = {}

    def opset(self, field: Field, details: dict[str, str | int]) -> None:
        domain, version = "", 0
        for each in self.messages.fields(field.start, field.end, "an operator set"):
            if each.number == 1:
                domain = self.messages.text(each, "an operator set")
            elif each.number == 2:  # noqa: PLR2004
                version = each.value
        if domain in {"", "ai.onnx"}:
            details["opset"] = version

    def graph(self, graph: Field, prefix: str, depth: int) -> None:
        """Read a graph, and those inside its nodes."""
        if depth > MAX_DEPTH:
            refuse(f"graphs are nested more than {MAX_DEPTH} deep")
        for field in self.messages.fields(graph.start, graph.end, "the graph"):
            if field.number == 1:
                self.node(field, prefix, depth)
            elif field.number == 5:  # noqa: PLR2004 - initializer
                self.keep(self.tensor(field, prefix))
            elif field.number == 15:  # noqa: PLR2004 - sparse_initializer: values, indices, dims
                self.sparse(field, prefix)
            elif field.number == 11 and not depth:  # noqa: PLR2004
                self.inputs.append(self.feature(field, "an input"))
            elif field.number == 12 and not depth:  # noqa: PLR2004
                self.outputs.append(self.feature(field, "an output"))
            if max(len(self.inputs), len(self.outputs)) > _MAX_FEATURES:
                refuse(f"more than {_MAX_FEATURES:,} inputs or outputs")

    def keep(self, tensor: Tensor) -> None:
        self.tensors.append(tensor)
        if len(self.tensors) > MAX_TENSORS:
            refuse(f"more than {MAX_TENSORS:,} tensors")

    def function(self, function: Field) -> None:
        for field in self.messages.fields(function.start, function.end, "a function"):
            if field.number == 7:  # noqa: PLR2004
                self.node(field, "", 0)

    def node(self, node: Field, prefix: str, depth: int) -> None:
        """Look into a node's attributes for tensors and graphs; a constant's tensor goes by the name of its output."""
        output, kind = "", ""
        attributes: list[Field] = []
        for field in self.messages.fields(node.start, node.end, "a node"):
            if field.number == 2 and not output:  # noqa: PLR2004
                output = self.messages.text(field, "an output's name")
            elif field.number == 4:  # noqa: PLR2004
                kind = self.messages.text(field, "an operator")
            elif field.number == 5:  # noqa: PLR2004
                attributes.append(field)
        for field in attributes:
            for each in self.messages.fields(field.start, field.end, "an attribute"):
                if each.number in {5, 10} and each.is_bytes:
                    tensor = self.tensor(each, prefix)
                    if kind == "Constant" and tensor.shape and tensor.dtype not in {"int64", "string", "bool"}:
                        self.keep(Tensor(prefix + output, tensor.dtype, tensor.shape))
                elif each.number in {6, 11} and each.is_bytes:
                    self.graph(each, f"{prefix}{output}/", depth + 1)

    def sparse(self, field: Field, prefix: str) -> None:
        for each in self.messages.fields(field.start, field.end, "a sparse tensor"):
            if each.number == 1:
                self.keep(self.tensor(each, prefix))
            elif each.number == 2:  # noqa: PLR2004
                self.tensor(each, prefix)

    def tensor(self, message: Field, prefix: str) -> Tensor:  # noqa: C901 - a branch a field
        """Check that a tensor has as many bytes as its shape and type need."""
        name, kind, location = "", 0, 0
        dims: list[int] = []
        held: dict[int, int] = {}
        external: dict[str, str] = {}
        for field in self.messages.fields(message.start, message.end, "a tensor"):
            if field.number == 1:
                dims += self.messages.numbers(field, "a tensor's dimensions", MAX_RANK)
            elif field.number == 2:  # noqa: PLR2004
                kind = field.value
            elif field.number == 8:  # noqa: PLR2004
                name = prefix + self.messages.text(field, "a tensor's name")
            elif field.number == 13:  # noqa: PLR2004
                external |= self.entry(field)
            elif field.number == 14:  # noqa: PLR2004
                location = field.value
            elif field.number in {4, 5, 6, 7, 9, 10, 11}:
                held[field.number] = held.get(field.number, 0) + field.end - field.start
            if len(dims) > MAX_RANK:
                refuse(f"tensor {name!r} has more than {MAX_RANK} dimensions")
        dtype, bits = _DTYPES.get(kind, ("", 0))
        if not dtype:
            refuse(f"tensor {name!r} has the unknown type {kind}")
        tensor = Tensor(name, dtype, checked_shape(name, dims))
        if location == _EXTERNAL:
            self.outside(tensor, bits, external)
        else:
            _check_held(tensor, bits, held)
        return tensor

    def entry(self, message: Field) -> dict[str, str]:
        key = value = ""
        for field in self.messages.fields(message.start, message.end, "where a tensor lies"):
            if field.number == 1:
                key = self.messages.text(field, "where a tensor lies")
            elif field.number == 2:  # noqa: PLR2004
                value = self.messages.text(field, "where a tensor lies")
        return {key: value}

    def outside(self, tensor: Tensor, bits: int, entries: dict[str, str]) -> None:
        """Note the file beside this one that a tensor lies in; it may not be anywhere else."""
        location = entries.get("location", "")
        parts = location.replace("\\", "/").split("/")
        if not location or not location.isprintable() or ".." in parts or parts[0] == "" or ":" in parts[0]:
            refuse(f"tensor {tensor.name!r} lies in {location[:80]!r}, which is no file beside the model")
        numbers = [entries.get(key) or "0" for key in ("offset", "length")]
        if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):  # noqa: PLR2004
            refuse(f"tensor {tensor.name!r} lies at no offset of {location!r}")
        offset, length = map(int, numbers)
        needs = bytes_of(tensor.elements, bits)
        if length and bits and length != needs:
            refuse(f"tensor {tensor.name!r} has {length:,} bytes in {location!r}, its shape needs {needs:,}")
        self.files[location] = max(self.files.get(location, 0), offset + (length or needs))

    def feature(self, message: Field, what: str) -> Tensor:
        """Read an input's or output's name, type and shape."""
        name = ""
        found: tuple[str, tuple[int | str | None, ...]] = ("", ())
        for field in self.messages.fields(message.start, message.end, what):
            if field.number == 1:
                name = self.messages.text(field, what)
            elif field.number == 2:  # noqa: PLR2004
                found = self.kind(field, what, 0)
        return Tensor(name, found[0] or "unknown", found[1])

    def kind(self, message: Field, what: str, depth: int) -> tuple[str, tuple[int | str | None, ...]]:
        """Read a TypeProto: a tensor's, or the word for what else it is."""
        if depth > MAX_DEPTH:
            refuse(f"{what}: a type nested more than {MAX_DEPTH} deep")
        for field in self.messages.fields(message.start, message.end, what):
            if field.number in {1, 8}:  # a dense or sparse tensor
                return self.tensor_kind(field, what)
            if field.number in {4, 5}:
                return ("sequence" if field.number == 4 else "map"), ()  # noqa: PLR2004
            if field.number == 9:  # noqa: PLR2004 - optional, of elem_type 1
                inner = list(self.messages.fields(field.start, field.end, what))
                return self.kind(inner[0], what, depth + 1) if inner else ("optional", ())
        return "", ()

    def tensor_kind(self, message: Field, what: str) -> tuple[str, tuple[int | str | None, ...]]:
        dtype = ""
        shape: list[int | str | None] = []
        for field in self.messages.fields(message.start, message.end, what):
            if field.number == 1:
                dtype = _DTYPES.get(field.value, (f"type {field.value}", 0))[0]
            elif field.number == 2:  # noqa: PLR2004
                shape = [self.dimension(each, what) for each in self.messages.fields(field.start, field.end, what)]
        if len(shape) > MAX_RANK:
            refuse(f"{what} has {len(shape)} dimensions, at most {MAX_RANK} are read")
        return dtype, tuple(shape)

    def dimension(self, message: Field, what: str) -> int | str | None:
        for field in self.messages.fields(message.start, message.end, what):
            if field.number == 1 and not field.is_bytes:
                return field.value if field.value < 1 << 63 else None
            if field.number == 2:  # noqa: PLR2004
                return self.messages.text(field, what) or None
        return None


def _check_held(tensor: Tensor, bits: int, held: dict[int, int]) -> None:
    """Compare the bytes of a tensor with what its shape needs; varints have no fixed size."""
    if not bits or not tensor.elements:
        return
    needs = {9: bytes_of(tensor.elements, bits), 4: tensor.elements * 4, 10: tensor.elements * 8}
    if not held:
        refuse(f"tensor {tensor.name!r} of {tensor.elements:,} {tensor.dtype} has no data")
    for number, size in held.items():
        complex_parts = 2 if tensor.dtype.startswith("complex") and number != 9 else 1  # noqa: PLR2004
        if number in needs and size not in {needs[number] * complex_parts, 0}:
            refuse(f"tensor {tensor.name!r} of {tensor.elements:,} {tensor.dtype} has {size:,} bytes")
        if number in {5, 7, 11} and not tensor.elements // 4 <= size <= tensor.elements * 10:
            refuse(f"tensor {tensor.name!r} of {tensor.elements:,} {tensor.dtype} has {size:,} bytes")
