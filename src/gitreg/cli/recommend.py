"""`gitreg recommend`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import at_option
from gitreg.cli.session import Session, command
from gitreg.cli.text import number
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.recommend.advice import Recommended
    from gitreg.registry.results import Recommendation


@command("recommend")
@click.argument("need")
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Only versions that meet it, as `gitreg search` has them."
)
@click.option(
    "--maximize",
    multiple=True,
    metavar="MEASURE",
    help="More of it is better, as metrics.f1; may be given several times.",
)
@click.option(
    "--minimize", multiple=True, metavar="MEASURE", help="Less of it is better, as size; may be given several times."
)
@click.option(
    "--limit", type=click.IntRange(1, 100), default=10, show_default=True, metavar="N", help="So many at most."
)
@at_option
def recommend(
    session: Session,
    need: str,
    where: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    limit: int,
    at: str | None,
) -> None:
    r"""Find the models that suit a NEED told in words.

    By their names, descriptions, tasks, labels and cards: by the words that they share with the need, and by what the
    words mean. With measures, those that suit nearly as well as the first are compared: first who is beaten by nobody.

    \b
      gitreg recommend "classify toxic comments in Finnish" --maximize metrics.f1 --minimize size \
          --where "license = 'Apache-2.0'"
    """
    with session.registry() as registry:
        found = registry.recommend(need, where=where, maximize=maximize, minimize=minimize, limit=limit, at=at)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    session.answer(found, _render)


def _render(screen: Screen, found: Recommendation) -> None:
    if not found.places:
        none = f"none of {found.considered} models suits; try other words"
        screen.line(none if found.considered else "no model meets the conditions")
        return
    measures = list(dict.fromkeys(name for place in found.places for name in place.measures))
    compared = ("FRONT", *(name.removeprefix("metrics.") for name in measures)) if found.aims else ()
    headers = ("MODEL", "SUITS", *compared, "WHY")
    rows = [
        (place.key, f"{place.relevance:.2f}", *_cells(place, measures, found), _why(place)) for place in found.places
    ]
    screen.table(headers, rows, right={"SUITS", *compared[1:]})


def _cells(place: Recommended, measures: list[str], found: Recommendation) -> tuple[str | None, ...]:
    if not found.aims:
        return ()
    front = {True: "yes", False: "no", None: None}[place.front]
    return front, *(_measure(name, place) for name in measures)


def _measure(name: str, place: Recommended) -> str | None:
    if name not in place.measures:
        return None
    value = place.measures[name]
    return human_size(int(value)) if name == "size" else number(value)


def _why(place: Recommended) -> str:
    return "; ".join(place.reasons)
