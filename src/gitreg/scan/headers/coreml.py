"""Read Core ML models (https://apple.github.io/coremltools/mlmodel/Format/Model.html)."""

from __future__ import annotations

from gitreg.scan.headers.protobuf import Field, Messages
from gitreg.scan.headers.source import MAX_RANK, Facts, Source, Tensor, refuse

_MAX_FEATURES = 10_000
_SIMPLE = {1: "int64", 2: "float64", 3: "string"}
_ARRAYS = {65600: "float64", 65568: "float32", 65552: "float16", 131104: "int32", 131080: "int8"}
_NUMBERS = {
    200: "pipelineClassifier",
    201: "pipelineRegressor",
    202: "pipeline",
    500: "neuralNetwork",
    502: "mlProgram",
}


def read(source: Source) -> Facts:
    """Read a model's description: its inputs and outputs."""
    messages = Messages(source)
    details: dict[str, str | int] = {}
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for field in messages.fields(0, source.size, "the model"):
        if field.number == 1:
            details["specification_version"] = field.value
        elif field.number == 2:  # noqa: PLR2004 - the numbers are those of Model.proto, here and below
            for each in messages.fields(field.start, field.end, "the description"):
                if each.number in {1, 10} and each.is_bytes:
                    (inputs if each.number == 1 else outputs).append(_feature(messages, each))
        elif field.number in _NUMBERS:
            details["type"] = _NUMBERS[field.number]
        if max(len(inputs), len(outputs)) > _MAX_FEATURES:
            refuse(f"more than {_MAX_FEATURES:,} inputs or outputs")
    return Facts(inputs=tuple(inputs), outputs=tuple(outputs), details=details)


def _feature(messages: Messages, message: Field) -> Tensor:
    name, dtype = "", "unknown"
    shape: tuple[int | str | None, ...] = ()
    for field in messages.fields(message.start, message.end, "a feature"):
        if field.number == 1:
            name = messages.text(field, "a feature's name")
        elif field.number == 3 and field.is_bytes:  # noqa: PLR2004
            dtype, shape = _type(messages, field)
    return Tensor(name, dtype, shape)


def _type(messages: Messages, message: Field) -> tuple[str, tuple[int | str | None, ...]]:
    for field in messages.fields(message.start, message.end, "a feature's type"):
        if field.number in _SIMPLE:
            return _SIMPLE[field.number], ()
        if field.number == 4 and field.is_bytes:  # noqa: PLR2004
            sizes = {each.number: each.value for each in messages.fields(field.start, field.end, "an image")}
            return "image", (sizes.get(2), sizes.get(1))
        if field.number == 5 and field.is_bytes:  # noqa: PLR2004
            return _array(messages, field)
        if field.number in {6, 7}:
            return ("dictionary" if field.number == 6 else "sequence"), ()  # noqa: PLR2004
    return "unknown", ()


def _array(messages: Messages, message: Field) -> tuple[str, tuple[int | str | None, ...]]:
    shape: list[int] = []
    dtype = "unknown"
    for field in messages.fields(message.start, message.end, "an array"):
        if field.number == 1:
            shape += messages.numbers(field, "an array's shape", MAX_RANK)
        elif field.number == 2:  # noqa: PLR2004
            dtype = _ARRAYS.get(field.value, "unknown")
        if len(shape) > MAX_RANK:
            refuse(f"an array of more than {MAX_RANK} dimensions")
    return dtype, tuple(size if size >= 0 else None for size in shape)
