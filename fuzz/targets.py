"""What is fuzzed: each target takes any bytes, and fails where a promise about them does not hold."""

from __future__ import annotations

import binascii
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import yaml

from gitreg.errors import InvalidError
from gitreg.gate import parse_updates
from gitreg.git.protocol import Commands, MalformedError, Report
from gitreg.git.signatures import SshSignature, split_commit, split_tag
from gitreg.keys import AllowedSigners
from gitreg.scan import Inspection, inspect_file
from gitreg.wire import MAX_DEPTH, MAX_NODES, Document, dump, load, load_plain
from tests.properties import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CORPUS = Path(__file__).parent / "corpus"


def strict_yaml(data: bytes) -> None:
    """Both parsers give one answer; what is accepted is bounded, reads back, and means the same to another parser."""
    document = _read(data)
    with patch.object(yaml, "__with_libyaml__", new=False):
        pure = _read(data)
    assert (document is None) == (pure is None), "one parser accepts what the other refuses"
    if document is None or pure is None:
        return
    assert repr(document.value) == repr(pure.value), "the parsers read different values"
    assert document.marks == pure.marks, "the parsers see the fields in different places"
    assert repr(load_plain(data)) == repr(document.value), "the reader of values reads another value"
    assert _size(document.value, 1) <= MAX_NODES, "more keys and values than allowed"
    written = dump(document.value)
    assert repr(load(written).value) == repr(document.value), "what is written does not read back"
    assert repr(reference.read_yaml(written)) == repr(document.value), "another parser reads another value in its dump"
    if not data.endswith(b"\n"):
        return  # the other parser reads a line break into a block text that ends with the file
    with suppress(ValueError):  # it is stricter in places, as with the indentation of a quoted text's later lines
        assert repr(reference.read_yaml(data)) == repr(document.value), "another parser reads another value"


def _read(data: bytes) -> Document | None:
    try:
        return load(data, "fuzzed.yaml")
    except InvalidError as error:
        assert error.problems, "a refusal without a place"
        assert len(str(error)) < 1000, "a refusal as long as what it refuses"
        return None


def _size(value: object, depth: int) -> int:
    if isinstance(value, dict):
        assert depth <= MAX_DEPTH, "deeper than allowed"
        assert all(isinstance(key, str) for key in value), "a key that is no text"
        return 1 + sum(1 + _size(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        assert depth <= MAX_DEPTH, "deeper than allowed"
        return 1 + sum(_size(item, depth + 1) for item in value)
    assert value is None or type(value) in {str, bool, int, float}, "a value of another type"
    assert value == value, "not a number"  # noqa: PLR0124 - only NaN is not itself
    return 1


def ref_updates(data: bytes) -> None:
    """A push is read as an obvious reading has it, and a refused one is never half accepted without a violation."""
    updates, violations = parse_updates(data)
    expected = reference.read_updates(data)
    if expected is None:
        assert violations, "accepted what is no list of updates"
        assert all(str(each.code) == "ref-malformed" for each in violations), "another code"
        return
    assert not violations, "refused a list of updates"
    assert [(each.old, each.new, each.ref) for each in updates] == expected, "read other updates"
    for each in updates:
        assert each.deletes == (set(each.new) == {"0"}), "what deletes is told by the new value alone"


def allowed_signers(data: bytes) -> None:
    """A list of keys is refused or read so that each line, written anew, says the same, and a key has one line."""
    try:
        signers = AllowedSigners.parse(data, "keys/allowed_signers")
    except InvalidError as error:
        assert 0 < len(error.problems) <= 101, "a refusal without a line, or with too many"
        return
    lines = [line.strip(b" ") for line in data.split(b"\n")]
    assert len(signers.keys) == sum(not line.startswith(b"#") for line in lines if line), "a line is lost"
    for blob, key in signers.keys.items():
        assert key.blob == blob, "a key under another key's bytes"
        assert lines[key.line - 1].startswith(f"{key.user} ".encode()), "a key under another name"
        assert key.public_line().encode() in data, "another key than is written there"
        window = (key.valid_after or 0, key.valid_before if key.valid_before is not None else 1 << 40)
        assert window[0] < window[1], "a key that never counts"
        assert key.counts_at(window[0]) == key.counts_at(window[1]) == key.signs_commits, "the window is not its own"
        assert not key.counts_at(window[0] - 1) or key.valid_after is None, "counts before its time"
        assert not key.counts_at(window[1] + 1) or key.valid_before is None, "counts after its time"


def signatures(data: bytes) -> None:
    """A signature is refused or taken apart without a byte lost; what was signed has no signature left in it."""
    how, rest = data[:1], data[1:]
    if how < b"\x40":
        _signature(rest)
    elif how < b"\x80":  # what base64 hides from the fuzzer
        text = binascii.b2a_base64(rest, newline=False)
        _signature(b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n")
    elif how < b"\xc0":
        for object_format in ("sha1", "sha256"):
            with suppress(InvalidError):
                signed = split_commit(rest, object_format)
                assert signed.armor is not None or signed.payload == rest, "changed without a signature"
                assert split_commit(signed.payload, object_format).armor is None, "a signature is left"
                assert len(signed.payload) + len(signed.armor or b"") <= len(rest), "bytes from nowhere"
    else:
        with suppress(InvalidError):
            tag = split_tag(rest)
            assert tag.payload + (tag.armor or b"") == rest, "the tag is not its parts"
            assert split_tag(tag.payload).armor is None, "a signature is left"


def _signature(armor: bytes) -> None:
    with suppress(InvalidError):
        signature = SshSignature.parse(armor)
        assert SshSignature.parse(signature.armor()) == signature, "written anew, it reads otherwise"
        assert signature.key in signature.blob, "the key is not the one inside"


def packets(data: bytes) -> None:
    """What a stream says does not depend on how it is cut, and stays bounded."""
    size, stream = 1 + data[0] if data else 1, data[1:]
    whole, parts = _followed([stream]), _followed([stream[at : at + size] for at in range(0, len(stream), size)])
    assert whole == parts, "read otherwise when it comes in pieces"


def _followed(chunks: Sequence[bytes]) -> tuple[object, ...]:
    commands = Commands()
    failed = False
    with suppress(MalformedError):
        failed = True
        for chunk in chunks:
            commands.feed(chunk)
        failed = False
    asked = Commands()
    asked.capabilities = frozenset({b"side-band-64k"})
    said: list[object] = []
    for report in (Report(Commands()), Report(asked)):
        for chunk in chunks:
            report.feed(chunk)
        assert len(report.rejected) <= 1000, "unbounded"
        assert len(report.said) <= 8 << 10, "unbounded"
        said += [report.unpacked, report.rejected, report.said]
    return (failed, commands.updates, commands.is_whole, commands.capabilities, *said)


NAMES = (
    *("a", "a.safetensors", "a.onnx", "a.gguf", "a.npy", "a.npz", "a.h5", "a.keras", "a.tflite", "a.mlmodel", "a.xml"),
    *("a.pkl", "a.pt", "a.joblib", "a.zip", "a.tar", "a.tar.gz"),
)


def model_files(data: bytes) -> None:
    """Any file has an inspection, bounded and plain; what it vouches for, the file has bytes for."""
    name, content = NAMES[data[0] % len(NAMES) if data else 0], data[1:]
    found = inspect_file(io.BytesIO(content), name)
    written = json.dumps(found.to_data())
    assert Inspection.from_data(json.loads(written)) == found, "written, it reads otherwise"
    assert found.problem is None or len(found.problem) < 4000, "a refusal as long as what it refuses"
    assert len(written) < 200_000 + 50 * len(content), "a report that is longer than its file"
    assert found.tensor_count <= 8 * max(len(content), 1) + 200_000, "tensors from nowhere"
    if found.format in {"safetensors", "gguf", "numpy"} and not found.problem:
        widths = {"float32": 4, "int64": 8, "float64": 8, "int8": 1, "uint8": 1, "float16": 2}
        needs = sum(each.elements * widths.get(each.dtype, 0) for each in found.tensors)
        assert needs <= len(content), "tensors that the file has no bytes for"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "yaml": strict_yaml,
    "refs": ref_updates,
    "keys": allowed_signers,
    "signatures": signatures,
    "packets": packets,
    "models": model_files,
}
LENGTHS = {"yaml": 4096, "refs": 1024, "keys": 2048, "signatures": 2048, "packets": 1024, "models": 8192}
"""The longest input, in bytes, that the fuzzer tries: enough for every rule, little enough to be fast."""
