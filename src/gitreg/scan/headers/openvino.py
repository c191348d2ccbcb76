"""Read OpenVINO's intermediate representation: an XML file beside the weights (`.bin`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitreg.scan.headers.source import MAX_RANK, MAX_TENSORS, Facts, Source, Tensor, bytes_of, checked_shape, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_XML = 128 * 1024 * 1024
_MAX_DEPTH = 100
_BITS = {"boolean": 8, "u1": 1, "u2": 2, "u4": 4, "i4": 4, "nf4": 4, "u3": 0, "u6": 0, "string": 0, "undefined": 0}
_NAMES = {"f": "float", "i": "int", "u": "uint", "bf": "bfloat"}


def read(source: Source) -> Facts:
    """Read inputs, outputs and constants; where the constants lie is a file of the same name with `.bin`."""
    from xml.parsers import expat

    if source.size > MAX_XML:
        refuse(f"{source.size:,} bytes of XML, at most {MAX_XML:,} are read")
    net = _Net()
    parser = expat.ParserCreate()
    parser.StartElementHandler = net.start
    parser.EndElementHandler = net.end
    parser.CharacterDataHandler = net.text
    parser.StartDoctypeDeclHandler = net.doctype
    try:
        for start in range(0, source.size, 1 << 20):
            parser.Parse(source.read(start, min(1 << 20, source.size - start), "the XML"), False)  # noqa: FBT003
        parser.Parse(b"", True)  # noqa: FBT003
    except expat.ExpatError as error:
        refuse(f"the XML breaks off: {str(error)[:100]}")
    return Facts(
        tensors=tuple(net.constants),
        inputs=tuple(net.inputs),
        outputs=tuple(net.outputs),
        details={"ir_version": net.version[:20], "name": net.name[:80]}
        if net.name
        else {"ir_version": net.version[:20]},
        files={".bin": net.reached} if net.reached else {},
    )


class _Net:
    """What the XML has said so far."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.constants: list[Tensor] = []
        self.reached = 0
        self.version = self.name = ""
        self._path: list[str] = []
        self._layer: Mapping[str, str] = {}
        self._port: Mapping[str, str] = {}
        self._dims: list[str] = []
        self._results: dict[str, tuple[str, ...]] = {}  # a Result's id → dimensions
        self._given: dict[tuple[str, str], tuple[str, str]] = {}  # a layer's and port's id → name, precision

    def doctype(self, *_: Any) -> None:  # noqa: ANN401 - expat's words
        """Refuse what entities would be declared in."""
        refuse("a document type, which no model needs and entities hide in")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Note what an element says."""
        self._path.append(tag)
        if len(self._path) > _MAX_DEPTH:
            refuse(f"elements are nested more than {_MAX_DEPTH} deep")
        if len(self._path) == 1:
            if tag != "net":
                refuse(f"the root is {tag[:40]!r}, not net")
            self.version, self.name = attributes.get("version", ""), attributes.get("name", "")
        elif self._path == ["net", "layers", "layer"]:
            self._layer = attributes
        elif tag == "data" and self._path[-2] == "layer":
            self._data(attributes)
        elif tag == "port":
            self._port, self._dims = attributes, []
        elif self._path == ["net", "edges", "edge"]:
            self._edge(attributes)

    def text(self, data: str) -> None:
        """Note a dimension."""
        if self._path[-1] == "dim" and len(self._dims) <= MAX_RANK and data.strip():
            self._dims.append(data.strip()[:20])

    def end(self, _: str) -> None:
        """Note a port, whose dimensions are known now."""
        if self._path == ["net", "layers", "layer", "output", "port"]:
            place = (self._layer.get("id", ""), self._port.get("id", ""))
            names = self._port.get("names", "").split(",")[0] or self._layer.get("name", "")
            self._given[place] = (names[:500], self._port.get("precision", ""))
        elif self._path == ["net", "layers", "layer", "input", "port"] and self._layer.get("type") == "Result":
            self._results[self._layer.get("id", "")] = tuple(self._dims)
        self._path.pop()

    def _edge(self, edge: Mapping[str, str]) -> None:
        """Name an output after what leads to it."""
        if edge.get("to-layer") in self._results:
            dims = self._results[edge["to-layer"]]
            name, precision = self._given.get((edge.get("from-layer", ""), edge.get("from-port", "")), ("", ""))
            kind = precision.lower().replace("fp", "f")
            self.outputs.append(Tensor(name or "output", _named(kind), tuple(map(_dimension, dims))))

    def _data(self, attributes: dict[str, str]) -> None:
        kind, name = self._layer.get("type"), self._layer.get("name", "")[:500]
        if kind == "Parameter" and len(self._path) == 4:  # noqa: PLR2004 - net/layers/layer/data
            shape = tuple(map(_dimension, attributes.get("shape", "").split(",") if attributes.get("shape") else ()))
            if len(shape) > MAX_RANK:
                refuse(f"input {name!r} has more than {MAX_RANK} dimensions")
            self.inputs.append(Tensor(name, _named(attributes.get("element_type", "unknown")), shape))
        elif kind == "Const" and "offset" in attributes:
            self._constant(name, attributes)

    def _constant(self, name: str, attributes: dict[str, str]) -> None:
        try:
            sizes = [int(size) for size in attributes.get("shape", "").split(",") if size.strip()]
            offset, size = int(attributes["offset"]), int(attributes["size"])
        except (KeyError, ValueError):
            refuse(f"constant {name!r} has no offset, size and shape")
        dtype = attributes.get("element_type", "")
        tensor = Tensor(name, _named(dtype), checked_shape(name, sizes))
        bits = _bits(dtype)
        if offset < 0 or size < 0 or offset + size >= 1 << 63 or (bits and size != bytes_of(tensor.elements, bits)):
            refuse(f"constant {name!r} of {tensor.elements:,} {dtype} has {size:,} bytes at {offset}")
        self.reached = max(self.reached, offset + size)
        self.constants.append(tensor)
        if len(self.constants) > MAX_TENSORS:
            refuse(f"more than {MAX_TENSORS:,} tensors")


def _dimension(text: str) -> int | str | None:
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 19:  # noqa: PLR2004
        return int(text)
    return text[:63] if ".." in text else None


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    digits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    digits = digits.partition("e")[0]
    if not digits.isascii() or not digits.isdigit() or int(digits) not in {1, 2, 4, 8, 16, 32, 64}:
        refuse(f"the unknown element type {dtype[:40]!r}")
    return int(digits)


def _named(dtype: str) -> str:
    letters = dtype.rstrip("0123456789")
    return f"{_NAMES[letters]}{dtype[len(letters) :]}" if letters in _NAMES else dtype[:40] or "unknown"
