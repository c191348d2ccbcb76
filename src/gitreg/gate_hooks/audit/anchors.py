"""Hold the deploy tags by the decision that each names, a million of them in little memory."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitreg.git import TagRef


class Anchors:
    """Deploy tags by their number: their refs, the commits that they mark, and the decisions that they name."""

    def __init__(self, tags: Iterable[TagRef]) -> None:
        self._refs = bytearray()
        self._ends = array("Q", [0])
        self._targets = bytearray()
        self._width = 1
        # Of the tags that name one decision the newest, and of each tag the one before it; -1 where there is none.
        self._newest: dict[bytes, int] = {}
        self._before = array("q")
        for number, tag in enumerate(tags):
            self._refs += tag.ref.encode("utf-8", "surrogateescape")
            self._ends.append(len(self._refs))
            target = bytes.fromhex(tag.target)
            self._width = len(target)
            self._targets += target
            anchor = tag.trailers.get("Audit")
            self._before.append(self._newest.get(anchor.encode(), -1) if anchor else -1)
            if anchor:
                self._newest[anchor.encode()] = number

    def __len__(self) -> int:
        """Count the tags."""
        return len(self._before)

    def ref(self, number: int) -> str:
        """Name a tag."""
        return self._refs[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogateescape")

    def target(self, number: int) -> bytes:
        """Name the commit that a tag marks, as bytes."""
        return bytes(self._targets[number * self._width : (number + 1) * self._width])

    def take(self, anchor: str) -> Iterator[int]:
        """Give the tags that name a decision, which is found by that."""
        return self._chain(self._newest.pop(anchor.encode("utf-8", "surrogatepass"), -1))

    def left(self) -> Iterator[int]:
        """Give the tags whose decision was not found."""
        for newest in self._newest.values():
            yield from self._chain(newest)

    def _chain(self, number: int) -> Iterator[int]:
        while number >= 0:
            yield number
            number = self._before[number]
