"""Bound how often somebody may ask: token buckets, and no more of them than memory is set aside for."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

MOST = 10_000


class Buckets:
    """A bucket for each key: `rate` a second, up to `burst` at once; a rate of 0 never says no. For one thread.

    The key that was quiet for longest makes room, and begins full when it comes back.
    """

    def __init__(self, rate: float, burst: float | None = None, most: int = MOST) -> None:
        self._rate = rate
        self._burst = max(1.0, 2 * rate if burst is None else burst)
        self._most = most
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> float:
        """Take one; 0 where there was one to take, else the seconds until there will be."""
        if not self._rate:
            return 0.0
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._rate)
        waits = 0.0 if left >= 1 else (1 - left) / self._rate
        self._left[key] = (left if waits else left - 1, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return waits

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return len(self._left)
