"""Recognise pickles without loading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.scan.formats import Format, Sample

if TYPE_CHECKING:
    from pickletools import OpcodeInfo

_MAX_OPCODES = 1_000


def pickle_format(sample: Sample) -> Format | None:
    """Tell a pickle, and whose it is: PyTorch's before 1.6, joblib's, or anybody's."""
    head = sample.head
    if not is_pickle(head, likely=sample.suffix in PICKLE_SUFFIXES, whole=len(head) == sample.size):
        return None
    if head.startswith(_TORCH_LEGACY):
        return Format.TORCH
    if sample.suffix == ".joblib" or b"joblib.numpy_pickle" in head:
        return Format.JOBLIB
    return Format.PICKLE


PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"})
# torch.serialization.MAGIC_NUMBER, as pickled by protocol 2 at the start of a file older than torch 1.6.
_TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_CALLABLES = frozenset({"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
_CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})


def is_pickle(data: bytes, *, likely: bool, whole: bool) -> bool:
    """Whether bytes begin as a pickle that an unpickler would follow.

    Protocols 2 and later say so. The earlier ones have no mark: their opcodes are followed without running them, and it
    is a pickle if they end as one, call something before they break off, or hold good for as long as we look.
    """
    if data[:1] == b"\x80" and data[1:2] in {b"\2", b"\3", b"\4", b"\5"}:
        return True
    import pickletools

    stack: list[bool] = []  # True for an object, False for a mark
    seen: set[str] = set()
    followed = 0
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if not _step(stack, opcode, argument):
                break
            followed += 1
            seen.add(opcode.name)
            if followed > _MAX_OPCODES or (opcode.name == "STOP" and not stack and followed > (1 if likely else 2)):
                return True
    except (ValueError, DeprecationWarning):  # an unknown opcode, a bad argument or escape, or the end of the data
        if not whole and followed > (2 if likely else 8):
            return True
    return bool(seen & _CALLABLES and seen & _CALLS)


def _step(stack: list[bool], opcode: OpcodeInfo, argument: object) -> bool:
    """Do to a stack what an opcode does; False where an unpickler would fail."""
    from pickletools import markobject

    if opcode.name in {"GLOBAL", "INST"} and not str(argument).replace(" ", "", 1).replace(".", "").isidentifier():
        return False
    needs = opcode.stack_before
    if markobject in needs or (opcode.name == "POP" and stack[-1:] == [False]):
        if False not in stack:
            return False
        while stack.pop():
            pass
        needs = needs[: needs.index(markobject)] if markobject in needs else []
    if len(stack) < len(needs) or not all(stack[len(stack) - len(needs) :]):
        return False
    del stack[len(stack) - len(needs) :]
    stack += [thing is not markobject for thing in opcode.stack_after]
    return True
