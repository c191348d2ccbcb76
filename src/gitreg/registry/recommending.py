"""Recommend models out of a registry: their documents come from the index, one for each model's latest version."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.index.pages import Query
from gitreg.names import ModelName
from gitreg.reader import indexing
from gitreg.recommend import pareto, vectors
from gitreg.recommend.advice import CANDIDATES, recommend
from gitreg.recommend.corpus import Corpus, kept
from gitreg.recommend.documents import LONGEST_CARD, Document, language, languages_of, words
from gitreg.recommend.ranking import Ranker
from gitreg.records import dataclass, replace
from gitreg.registry.results import Recommendation
from gitreg.registry.search import prepared_search

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from sqlite3 import Connection

    from gitreg.git import Repository
    from gitreg.index.pages import Hit
    from gitreg.reader import Snapshot
    from gitreg.recommend.advice import Recommended
    from gitreg.recommend.ranking import Match

_Chosen = tuple[str, str, int]  # model, version, the manifest's row
NAME = "recommend.sqlite"
"""What questions are asked of, beside the index and as disposable as that."""

MODEL_KEY = "gitreg.recommendmodel"
MOST = 100
_LANGUAGE_LABELS = frozenset({"language", "languages", "lang"})
# What `MODEL@latest` means: the highest that is no pre-release, else the highest, of those that resolve.
_RESOLVES = "lifecycle in (active, deprecated)"
_HIGHEST = """
SELECT v.id FROM versions v JOIN manifests m ON m.id = v.manifest
WHERE v.model = models.model AND v.deleted = 0 AND m.lifecycle IN ('active', 'deprecated') {released}
ORDER BY v.precedence DESC LIMIT 1
"""
_LATEST = """
SELECT versions.model, versions.version, versions.manifest
FROM models CROSS JOIN versions ON versions.id = coalesce(({released}), ({any}))
"""
_SAID = """
SELECT models.description, models.task, substr(model_texts.card, 1, ?), m.description, m.license, m.framework
FROM models JOIN manifests m LEFT JOIN model_texts ON model_texts.rowid = models.id WHERE models.model = ? AND m.id = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a recommendation is asked for: a need in words, conditions, what to aim at, how many places at most."""

    need: str
    where: Sequence[str] = ()
    maximize: Sequence[str] = ()
    minimize: Sequence[str] = ()
    limit: int = CANDIDATES


def recommend_from(
    snapshot: Snapshot, asked: Asked, *, now: bool, may_read: Callable[[ModelName], bool] | None = None
) -> Recommendation:
    """Recommend models as they are at a snapshot; with `now` the index is brought up to it and kept.

    With `may_read` the others are as if they were not there: no count, place or score speaks of them.
    """
    if not 1 <= asked.limit <= MOST:
        raise InvalidError(f"--limit: found {asked.limit}, allowed: 1 to {MOST}")
    words(asked.need)
    aims = pareto.aims(_measured(asked.maximize), _measured(asked.minimize))
    model, notes = _model(snapshot.repository)

    def question(connection: Connection) -> tuple[list[Recommended], int]:
        chosen = _meeting(snapshot, connection, asked.where, may_read) if asked.where else None
        if may_read is None:
            matches, known = _ranked(snapshot, connection, asked, model, chosen, keep=now)
        else:
            matches, known = _asked(Corpus.of(_documents(connection, may_read), model), asked, chosen)
        stands = chosen or {match.key: _latest(connection, match.key)[0] for match in matches}
        named = [replace(match, key=f"{match.key}@{stands[match.key][1]}") for match in matches]
        measures = {
            f"{name}@{version}": _measures(connection, manifest)
            for name, version, manifest in (stands[match.key] for match in matches)
        }
        return recommend(named, aims, measures), known if chosen is None else len(chosen)

    (places, considered), told = indexing.ask(snapshot, question, now=now)
    return Recommendation(
        need=asked.need,
        model=model.name if model else None,
        aims=tuple(map(str, aims)),
        considered=considered,
        places=tuple(places),
        notes=(*notes, *(told if may_read is None else ())),  # they tell which fields there are
    )


def _ranked(  # noqa: PLR0913 - what is asked, of what, and whether to keep that
    snapshot: Snapshot,
    connection: Connection,
    asked: Asked,
    model: vectors.StaticModel | None,
    only: Collection[str] | None,
    *,
    keep: bool,
) -> tuple[list[Match], int]:
    """Rank all models, of which `only` some may be given; tell how many there are, too."""

    def documents() -> list[Document]:
        return _documents(connection)

    path = indexing.index_file(snapshot.repository).path.with_name(NAME)
    try:
        return _asked(kept(path, snapshot.commit, model, documents, keep=keep), asked, only)
    except sqlite3.DatabaseError:  # what is kept is damaged; where it is the index, the next line says so
        return _asked(Corpus.of(documents(), model), asked, only)


def _asked(corpus: Corpus, asked: Asked, only: Collection[str] | None) -> tuple[list[Match], int]:
    with Ranker(corpus) as ranker:
        return ranker.rank(asked.need, asked.limit, only), corpus.count


def _model(repository: Repository) -> tuple[vectors.StaticModel | None, list[str]]:
    folder = repository.config(MODEL_KEY)
    if folder:
        return vectors.named(Path(folder).expanduser()), []
    model = vectors.packaged()
    if model:
        return model, []
    return None, [f"ranked by shared words alone, for want of an embedding model; {vectors.EXTRA}"]


def _latest(connection: Connection, model: str | None = None) -> list[_Chosen]:
    """Choose the latest version of every model that has one, or of one model."""
    query = _LATEST.format(
        released=_HIGHEST.format(released="AND instr(v.version, '-') = 0"), any=_HIGHEST.format(released="")
    )
    if model is None:
        return connection.execute(query).fetchall()
    return connection.execute(f"{query} WHERE models.model = ?", (model,)).fetchall()


def _meeting(
    snapshot: Snapshot,
    connection: Connection,
    conditions: Sequence[str],
    may_read: Callable[[ModelName], bool] | None,
) -> dict[str, _Chosen]:
    """Choose of each model the latest of the versions that meet the conditions."""
    query = Query(conditions=(*conditions, _RESOLVES))
    hits, _ = prepared_search(snapshot, query, connection, may_read).run(connection, snapshot.commit)
    best: dict[str, Hit] = {}
    for hit in hits:  # the highest of a model comes first
        known = best.setdefault(hit.model, hit)
        if "-" in known.version and "-" not in hit.version:
            best[hit.model] = hit
    return {model: (model, hit.version, hit.manifest) for model, hit in best.items()}


def _documents(connection: Connection, may_read: Callable[[ModelName], bool] | None = None) -> list[Document]:
    """Describe each model that has a version, by its latest; of some models alone."""
    labels = defaultdict[str, list[tuple[str, str]]](list)
    for model, key, value in connection.execute("SELECT model, key, value FROM model_labels ORDER BY model, key"):
        labels[model].append((key, value))
    chosen = (each for each in _latest(connection) if may_read is None or may_read(ModelName.parse(each[0])))
    return [_document(connection, each, labels[each[0]]) for each in chosen]


def _document(connection: Connection, chosen: _Chosen, labels: Sequence[tuple[str, str]]) -> Document:
    name, _, manifest = chosen
    said = connection.execute(_SAID, (LONGEST_CARD, name, manifest)).fetchone()
    description, task, card, change, licence, framework = said
    own = connection.execute("SELECT key, value FROM labels WHERE manifest = ? ORDER BY key", (manifest,))
    facts = (*_told([*labels, *own]), *languages_of(card or ""), framework, licence)
    return Document(
        key=name,
        name=name,
        description=" ".join(filter(None, (description, change))),
        task=task or "",
        facts=tuple(dict.fromkeys(filter(None, facts))),
        card=card or "",
    )


def _measured(names: Sequence[str]) -> list[str]:
    """Take `auc` for metrics.auc, as `plot` and `compare` do."""
    return [name if name == "size" or name.startswith("metrics.") else f"metrics.{name}" for name in names]


def _measures(connection: Connection, manifest: int) -> dict[str, float]:
    metrics = connection.execute("SELECT key, value FROM metrics WHERE manifest = ?", (manifest,))
    measures = {f"metrics.{key}": value for key, value in metrics}
    size, provider = connection.execute("SELECT size, provider FROM manifests WHERE id = ?", (manifest,)).fetchone()
    # Somebody else's model has no files here, and so no size that is known.
    return measures if provider else {**measures, "size": size}


def _told(labels: Sequence[tuple[str, str | None]]) -> Iterator[str]:
    """Give what labels say, the languages among them by name."""
    for key, value in labels:
        if value:
            yield ", ".join(map(language, value.split(","))) if key in _LANGUAGE_LABELS else value
