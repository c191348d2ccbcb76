"""Set versions side by side, and follow metrics over the versions of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError, NotFoundError
from gitreg.manifest import Goal, aspects, diff, side_by_side
from gitreg.names import Selector, did_you_mean
from gitreg.reader import VersionFile
from gitreg.records import replace
from gitreg.registry.reads import found
from gitreg.registry.results import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.manifest import Comparison, Manifest, ManifestDiff
    from gitreg.names import ModelName
    from gitreg.reader import RegistryFiles
    from gitreg.registry.opened import Opened


class Place(NamedTuple):
    """A version in a registry that is open; `name` is the registry's, where it is not the only one."""

    registry: Opened
    selector: str
    name: str | None = None


def compare_across(
    places: Sequence[Place], maximize: Sequence[str], minimize: Sequence[str], at: str | None
) -> Comparison:
    """Compare versions that may be in several registries."""
    compared = _side_by_side(_manifests(places, at), maximize, minimize)
    return replace(compared, versions=tuple(map(_shown, places, compared.versions)))


def diff_across(left: Place, right: Place, at: str | None) -> ManifestDiff:
    """Tell two versions apart that may be in two registries."""
    found = diff(*_manifests((left, right), at))
    return replace(found, left=_shown(left, found.left), right=_shown(right, found.right))


def _manifests(places: Sequence[Place], at: str | None) -> list[Manifest]:
    """Read the versions; those of one registry at one commit."""
    files = {place.name: place.registry.files(at) for place in places}
    return [found(files[place.name], Selector.parse(place.selector)).manifest for place in places]


def _shown(place: Place, version: str) -> str:
    return f"{place.name}:{version}" if place.name else version


def compare(
    snapshot: RegistryFiles, selectors: Sequence[str], maximize: Sequence[str], minimize: Sequence[str]
) -> Comparison:
    """Compare the versions that selectors mean."""
    return _side_by_side([found(snapshot, Selector.parse(each)).manifest for each in selectors], maximize, minimize)


def _side_by_side(manifests: Sequence[Manifest], maximize: Sequence[str], minimize: Sequence[str]) -> Comparison:
    both = sorted({*maximize} & {*minimize})
    if both:
        raise InvalidError(f"{both[0]!r} cannot be both maximized and minimized")
    known = {name for manifest in manifests for (_, name), _ in aspects.measured(manifest)}
    goals = {_called(name, known): Goal.MAXIMIZE for name in maximize}
    goals |= {_called(name, known): Goal.MINIMIZE for name in minimize}
    return side_by_side(manifests, goals)


def series(snapshot: RegistryFiles, name: ModelName, metrics: Sequence[str], last: int | None) -> Series:
    """Read metrics of every version that has one of them, lowest first; `metric on data/split` is an evaluation's."""
    manifests = [each.manifest for each in snapshot.every_version(name) if isinstance(each, VersionFile)]
    measured = [(manifest, _measured(manifest)) for manifest in manifests]
    known = {each for _, values in measured for each in values}
    metrics = [_called(metric, known) for metric in metrics]
    for metric in metrics:
        if metric not in known:
            raise _no_metric(name, metric, known)
    rows = [(manifest, values) for manifest, values in measured if any(metric in values for metric in metrics)]
    rows = rows[-last:] if last else rows
    return Series(
        model=name,
        versions=tuple(str(manifest.version) for manifest, _ in rows),
        created=tuple(manifest.created for manifest, _ in rows),
        metrics={metric: tuple(values.get(metric) for _, values in rows) for metric in metrics},
    )


def _measured(manifest: Manifest) -> dict[str, float]:
    return {f"{name} on {dataset}" if dataset else name: value for (dataset, name), value in aspects.measured(manifest)}


def _called(metric: str, known: set[str]) -> str:
    """Take `metrics.auc`, as searches write it, for the metric auc."""
    return metric if metric in known else metric.removeprefix("metrics.")


def _no_metric(name: ModelName, metric: str, known: set[str]) -> NotFoundError:
    near = did_you_mean(metric, sorted(known))
    if near:
        hint = f"did you mean {near}?"
    else:
        hint = f"there are {', '.join(sorted(known))}" if known else "they were registered without any"
    return NotFoundError(f"no version of {name} has a metric {metric!r}", hint=hint)
