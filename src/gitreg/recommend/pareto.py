"""Compare candidates on several measures at once: which are beaten by another on all of them, and which are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.names import did_you_mean
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

MOST_AIMS = 8


@dataclass(frozen=True, slots=True)
class Aim:
    """A measure, and whether more of it is better."""

    measure: str
    more: bool

    def __str__(self) -> str:
        """Write it as `maximize metrics.f1`."""
        return f"{'maximize' if self.more else 'minimize'} {self.measure}"

    def worth(self, measures: Mapping[str, float]) -> float:
        """Turn a measured value so that more is better."""
        value = measures[self.measure]
        return value if self.more else -value


def aims(maximize: Sequence[str], minimize: Sequence[str]) -> tuple[Aim, ...]:
    """Read what is aimed at; InvalidError where a measure is named twice."""
    wanted = (*(Aim(name, more=True) for name in maximize), *(Aim(name, more=False) for name in minimize))
    names = [aim.measure for aim in wanted]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InvalidError(f"{twice} is aimed at twice", hint="name each measure once, under maximize or minimize")
    if len(wanted) > MOST_AIMS:
        raise InvalidError(f"found {len(wanted)} measures, allowed: {MOST_AIMS}")
    return wanted


def check(wanted: Sequence[Aim], known: Collection[str]) -> None:
    """Refuse a measure that no candidate has; InvalidError names the nearest."""
    for aim in wanted:
        if aim.measure not in known:
            near = did_you_mean(aim.measure, known)
            listed = ", ".join(sorted(known)[:12]) or "none"
            raise InvalidError(
                f"no candidate has the measure {aim.measure!r}",
                hint=f"did you mean {near}?" if near else f"known: {listed}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a candidate stands: the measures that it lacks, the candidates that beat it, the measures it is best at.

    To beat is to be at least as good on every measure and better on one. Who lacks a measure is not compared: nobody
    knows whether it would be better or worse.
    """

    missing: tuple[str, ...] = ()
    beaten_by: tuple[str, ...] = ()
    best_at: tuple[str, ...] = ()

    @property
    def on_front(self) -> bool:
        """Whether it was compared, and nobody beats it."""
        return not self.missing and not self.beaten_by


def standings(candidates: Mapping[str, Mapping[str, float]], wanted: Sequence[Aim]) -> dict[str, Standing]:
    """Compare candidates, given by key with their measures; the order in `beaten_by` is the candidates'."""
    worths: dict[str, tuple[float, ...]] = {}
    found: dict[str, Standing] = {}
    for key, measures in candidates.items():
        missing = tuple(aim.measure for aim in wanted if aim.measure not in measures)
        if missing:
            found[key] = Standing(missing=missing)
        else:
            worths[key] = tuple(aim.worth(measures) for aim in wanted)
    best = [max(column) for column in zip(*worths.values(), strict=True)]
    for key, worth in worths.items():
        found[key] = Standing(
            beaten_by=tuple(other for other, theirs in worths.items() if _beats(theirs, worth)),
            best_at=tuple(aim.measure for aim, own, top in zip(wanted, worth, best, strict=True) if own == top),
        )
    return found


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
