"""Recommend: the candidates that suit a need, the ones that nobody beats first, and why each stands where it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.recommend import pareto
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.recommend.pareto import Aim, Standing
    from gitreg.recommend.ranking import Match

CANDIDATES = 10
# A candidate's relevance, as a part of the best one's, from which on its measures are compared with the others'.
NEAR = 0.7
_NAMED = 2  # candidates that beat one, told by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """A model in its place: what it was measured at, whether it is on the front, and the reasons in words.

    `front` is None where nothing was aimed at, or where it was not compared because of a missing measure.
    """

    key: str
    relevance: float
    similarity: float | None
    shared: tuple[str, ...]
    measures: Mapping[str, float]
    front: bool | None
    reasons: tuple[str, ...]


def recommend(
    matches: Sequence[Match], wanted: Sequence[Aim], measures: Mapping[str, Mapping[str, float]]
) -> list[Recommended]:
    """Place what suits, the best first; with aims, compare the near ones: the front, the beaten, who lacks a measure.

    Within each of the three the more relevant comes first. A model that hardly suits is not compared: the smallest
    model of a registry is on every front that counts size. `measures` are those of each match, by its key.
    """
    if not wanted or not matches:
        return [_placed(match, None, {}) for match in matches]
    near = [match for match in matches if match.relevance >= NEAR * matches[0].relevance]
    own = {match.key: measures[match.key] for match in near}
    pareto.check(wanted, {name for each in own.values() for name in each})
    found = pareto.standings(own, wanted)
    near.sort(key=lambda match: _group(found[match.key]))
    return [
        _placed(
            match,
            found[match.key],
            {aim.measure: own[match.key][aim.measure] for aim in wanted if aim.measure in own[match.key]},
        )
        for match in near
    ]


def _group(standing: Standing) -> int:
    if standing.missing:
        return 2
    return 0 if standing.on_front else 1


def _placed(match: Match, standing: Standing | None, measures: Mapping[str, float]) -> Recommended:
    compared = standing is not None and not standing.missing
    return Recommended(
        key=match.key,
        relevance=match.relevance,
        similarity=match.similarity,
        shared=match.shared,
        measures=measures,
        front=standing.on_front if standing and compared else None,
        reasons=(*_suits(match), *(_stands(standing, len(measures)) if standing else ())),
    )


def _suits(match: Match) -> list[str]:
    reasons = []
    if match.shared:
        reasons.append(f"its texts have {', '.join(match.shared)}")
    if match.similarity is not None:
        reasons.append(f"similarity {match.similarity:.2f}")
    return reasons


def _stands(standing: Standing, aims: int) -> list[str]:
    if standing.missing:
        return [f"not compared: has no {' and no '.join(standing.missing)}"]
    if standing.beaten_by:
        named = ", ".join(standing.beaten_by[:_NAMED])
        more = len(standing.beaten_by) - _NAMED
        return [f"beaten by {named}" + (f" and {more} more" if more > 0 else "")]
    if len(standing.best_at) == aims:
        return [f"nobody is better at {' or '.join(standing.best_at)}"]
    if standing.best_at:
        return [f"nobody is better at {' or '.join(standing.best_at)}, and nobody beats it"]
    return ["nobody beats it: who is better at one measure is worse at another"]
