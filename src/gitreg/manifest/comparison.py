"""Set any number of versions side by side."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError
from gitreg.manifest import aspects
from gitreg.manifest.compare import identical
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from gitreg.manifest.version import Manifest

FEWEST, MOST = 2, 64  # versions side by side


class Goal(StrEnum):
    """Which values of a metric are the better ones."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


# A word of a metric's name that tells which way is better, as the metrics of scikit-learn, torchmetrics and Hugging
# Face's evaluate mean it. Names with words of both kinds, or of none, tell nothing.
_HIGHER = """
acc accuracy ap auc aupr auprc auroc bertscore bleu chrf cider dice exact f1 fbeta gini hit hits iou jaccard kappa ks
map mcc meteor mrr ndcg precision psnr r2 recall reward rouge rouge1 rouge2 rougel sensitivity specificity ssim
throughput tpr
"""
_LOWER = """
brier cer crossentropy ece eer err error fdr fid fnr fpr latency logloss loss mae mape mase mce mse msle nll perplexity
ppl rmse rmsle smape ter wape wer
"""


def goal_of(metric: str) -> Goal | None:
    """Tell by a metric's name which way is better; None where the name does not tell."""
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    higher, lower = (not words.isdisjoint(told.split()) for told in (_HIGHER, _LOWER))
    if higher == lower:
        return None
    return Goal.MAXIMIZE if higher else Goal.MINIMIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """A metric of several versions, on an evaluation's data set where it is not the versions' own.

    `deltas` are differences to the first version; `best` are the places of the best value, none where it is not known
    which way is better, or where all are the same.
    """

    name: str
    dataset: str | None
    goal: Goal | None
    values: tuple[float | None, ...]
    deltas: tuple[float | None, ...]
    best: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """A value of several versions that is not the same in all of them; None where a version lacks it."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Versions side by side, in the order in which they were named. Metrics are there even where all are equal."""

    versions: tuple[str, ...]
    created: tuple[str, ...]
    sizes: tuple[int, ...]
    metrics: tuple[MetricRow, ...]
    hyperparameters: tuple[FieldRow, ...]
    datasets: tuple[FieldRow, ...]
    artifacts: tuple[FieldRow, ...]
    fields: tuple[FieldRow, ...]


def side_by_side(manifests: Sequence[Manifest], goals: Mapping[str, Goal] | None = None) -> Comparison:
    """Set versions side by side; `goals` says of metrics, by name, which way is better where the name does not.

    Raises InvalidError for fewer than two versions, more than `MOST`, or a goal for a metric that none of them has.
    """
    if not FEWEST <= len(manifests) <= MOST:
        raise InvalidError(f"{FEWEST} to {MOST} versions can be compared, and not {len(manifests)}")
    metrics = tuple(_metrics(manifests, goals or {}))
    _check_goals(goals or {}, {row.name for row in metrics})
    return Comparison(
        versions=tuple(map(str, manifests)),
        created=tuple(manifest.created for manifest in manifests),
        sizes=tuple(sum(artifact.size for artifact in manifest.artifacts) for manifest in manifests),
        metrics=metrics,
        hyperparameters=_fields([aspects.hyperparameters(each) for each in manifests]),
        datasets=_fields([aspects.datasets(each) for each in manifests]),
        artifacts=_fields([aspects.artifacts(each) for each in manifests]),
        fields=_fields([aspects.others(each) for each in manifests]),
    )


def _check_goals(goals: Mapping[str, Goal], known: Collection[str]) -> None:
    for name in goals:
        if name not in known:
            measured = ", ".join(sorted(known)) or "none at all"
            raise InvalidError(f"none of the versions has a metric {name!r}", hint=f"they have {measured}")


def _metrics(manifests: Sequence[Manifest], goals: Mapping[str, Goal]) -> Iterator[MetricRow]:
    measured = [dict(aspects.measured(manifest)) for manifest in manifests]
    for dataset, name in dict.fromkeys(key for each in measured for key in each):
        values = tuple(each.get((dataset, name)) for each in measured)
        goal = goals.get(name) or goal_of(name)
        yield MetricRow(
            name=name,
            dataset=dataset,
            goal=goal,
            values=values,
            deltas=tuple(aspects.delta(values[0], value) for value in values),
            best=_best(values, goal),
        )


def _best(values: Sequence[float | None], goal: Goal | None) -> tuple[int, ...]:
    known = [value for value in values if value is not None]
    if goal is None or len(set(known)) < 2:  # noqa: PLR2004 - of one value none is the best
        return ()
    best = max(known) if goal is Goal.MAXIMIZE else min(known)
    return tuple(place for place, value in enumerate(values) if value == best)


def _fields(sides: Sequence[Mapping[str, object]]) -> tuple[FieldRow, ...]:
    names = dict.fromkeys(name for side in sides for name in side)
    rows = [FieldRow(name=name, values=tuple(side.get(name) for side in sides)) for name in names]
    return tuple(row for row in rows if not all(identical(row.values[0], value) for value in row.values))
