"""A registry behind a gitreg server: read and written over HTTP, without git.

What it shares with any other stands in `Registry`; here is only how a server is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from gitreg.client.served import Seen, ServedFiles, tip
from gitreg.client.weights import ServedStore
from gitreg.errors import InvalidError
from gitreg.records import replace
from gitreg.registry import reads, said
from gitreg.registry.facade import Registry
from gitreg.writer import Mode, Written

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from gitreg.access import Access
    from gitreg.client.http import Answer, Http
    from gitreg.config import Location
    from gitreg.gate_hooks.audit.export import Wanted
    from gitreg.gate_hooks.audit.result import Verified as Audited
    from gitreg.index.pages import Query
    from gitreg.manifest import Manifest
    from gitreg.names import ModelName, Selector
    from gitreg.objects import Progress, Store
    from gitreg.reader import DeploymentRecord, LogEntry
    from gitreg.registry.answering import Answering
    from gitreg.registry.planners import Asked
    from gitreg.registry.recommending import Asked as Need
    from gitreg.registry.register import RegisterRequest
    from gitreg.registry.results import LineageNode, ModelSummary, Recommendation, VersionSummary
    from gitreg.registry.search import Found

_PUSH = Mode()
_PAGE = 1000
_PROVING = 3600.0  # seconds that a server may take to prove a long log; a sign of life comes more often


class Connected(Registry):
    """A registry behind a server."""

    def __init__(self, location: Location, http: Http) -> None:
        super().__init__(location)
        self._http = http
        self._seen = Seen()
        self._read: ServedFiles | None = None

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        self._http.close()

    # What the rest is made of

    @property
    def target(self) -> NoReturn:
        """Refuse what needs the repository itself."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InvalidError(
            f"this needs the repository itself, and {self._http.uri} is a server in front of it",
            hint=f"run it on the server, or name the repository: --registry {self._http.uri}/registry.git",
        )

    @property
    def index(self) -> None:
        """No published index."""
        return

    @property
    def address(self) -> str:
        """The server."""
        return self._http.uri

    def tip(self) -> str:
        """Name the newest commit that the server knows."""
        return tip(self._http)

    def refresh(self) -> None:
        """Do nothing: each question asks for what is there now."""

    def files(self, at: str | None = None) -> ServedFiles:
        """Read the registry as it is now, or as it was at a time."""
        return self._files_of(tip(self._http, at))

    def _files_of(self, commit: str) -> ServedFiles:
        if self._read is None or self._read.commit != commit:
            self._read = ServedFiles(self._http, commit, self._seen)
        return self._read

    def at_commit(self, commit: str) -> ServedFiles | None:
        """Read the registry as it was at a commit; None where main never was there."""
        now = self.files()  # what is wrong with the way there shows now
        found = now if now.commit == commit else self._files_of(commit)
        return found if found.is_known() else None

    def snapshot(self, at: str | None = None) -> NoReturn:  # noqa: ARG002 - there is none of any time
        """Refuse what needs git's objects."""
        self._refuse()

    @property
    def store(self) -> Store:
        """Refuse: which files there are a version tells."""
        self._refuse()

    def store_of(self, manifest: Manifest) -> Store:
        """Give the files of a version, through the server."""
        return ServedStore(self._http, manifest)

    @property
    def _access(self) -> Access:
        return self.files().access

    # Find

    def models(self, project: str | None = None, *, at: str | None = None) -> list[ModelSummary]:
        """List the models, or those of one project."""
        found = list(self._pages("/models", said.model_summary, {"project": project, "at": at}))
        return found or reads.models(self.files(at), project)  # which says what there is instead

    def versions(self, model: str, *, at: str | None = None) -> list[VersionSummary]:
        """List the versions of a model, highest first; deleted ones have the lifecycle `deleted`."""
        from gitreg.names import ModelName

        return list(self._pages(f"/models/{ModelName.parse(model)}/versions", said.version_summary, {"at": at}))

    def _search(self, query: Query, at: str | None) -> Found:
        from gitreg.registry.search import Found

        wanted = [each for each in query.conditions if each.strip()]
        asked = {
            "q": wanted[0] if len(wanted) == 1 else " and ".join(f"({each})" for each in wanted) or None,
            "order_by": query.order_by,
            "at": at,
        }
        rows: list[VersionSummary] = []
        notes: list[str] = []
        cursor = query.cursor
        while True:
            count = _PAGE if query.limit is None else min(_PAGE, query.limit - len(rows))
            answer = self._http.get("/search", {**asked, "limit": count, "cursor": cursor})
            items, cursor = _page(answer)
            rows += [said.accepted(said.version_summary, each) for each in items]
            notes += said.accepted(said.notes, answer.data)
            if cursor is None or len(rows) == query.limit:
                commit = answer.headers.get("gitreg-commit", "")
                return Found(versions=tuple(rows), commit=commit, next=cursor, notes=tuple(dict.fromkeys(notes)))

    def _recommend(self, asked: Need, at: str | None) -> Recommendation:
        query = {
            "need": asked.need,
            "where": list(asked.where),
            "maximize": list(asked.maximize),
            "minimize": list(asked.minimize),
            "limit": asked.limit,
            "at": at,
        }
        return said.accepted(said.recommendation, self._http.get("/recommend", query).data)

    def _descendants(self, selector: Selector, depth: int, at: str | None) -> LineageNode:
        path = f"/models/{selector.model}/versions/{selector.what or 'latest'}/lineage"
        found = self._http.get(path, {"direction": "down", "depth": depth, "at": at})
        return said.accepted(said.lineage, found.data)

    def _history(self, name: ModelName, environment: str | None, at: str | None) -> list[DeploymentRecord]:
        files = self.files(at)
        files.model(name)
        chosen = [reads.known_environment(files, environment)] if environment else files.environments()
        rows = [
            row
            for where in chosen
            for row in self._pages(f"/deployments/{where}/{name}/history", said.deployment, {"at": at})
        ]
        return reads.newest_first(rows, chosen)

    def _log(self, name: ModelName | None, limit: int | None, at: str | None) -> list[LogEntry]:
        query = {"model": str(name) if name else None, "at": at}
        return list(self._pages("/log", said.log_entry, query, limit))

    # Govern

    def verify_audit(self, copy: str | os.PathLike[str] | None = None) -> Audited:
        """Have the server prove its log of decisions. A copy is proved against a clone, which depends on no server."""
        if copy is not None:
            self._refuse()
        return said.accepted(said.audited, self._http.get("/audit/verify", seconds=_PROVING).data)

    def audit(self, wanted: Wanted) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Give the decisions that are wanted, each as its line of the log and as its members, oldest first."""
        from gitreg.reader.history import iso

        query = {
            "since": iso(wanted.since) if wanted.since is not None else None,
            "until": iso(wanted.until) if wanted.until is not None else None,
            "actor": wanted.actor,
            "model": wanted.model,
            "verdict": wanted.verdict,
        }
        return self._pages("/audit", said.decision, query)

    # Change

    def register(self, request: RegisterRequest, mode: Mode = _PUSH) -> Written:
        """Register a version: send its files to the store, then its metadata; `Written.about` is the manifest."""
        from gitreg.registry.sending import register

        self._check_mode(mode)
        return register(
            request,
            self.files,
            ServedStore(self._http),
            lambda body, how: self._send("POST", "/models/register", body, how),
            mode,
        )

    def import_version(
        self,
        origin: Answering,
        selector: str,
        mode: Mode = _PUSH,
        *,
        parents: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        """Take a version over from another registry: send its weights to the store, then its manifest as it is."""
        from gitreg.registry import importing
        from gitreg.registry.opened import counting
        from gitreg.registry.sending import check_accepted, without_missing

        self._check_mode(mode)
        found = importing.prepare(origin, selector, parents=parents)
        body = found.to_body()
        judged = self._send("POST", "/models/import", body, replace(mode, dry_run=True))
        if mode.dry_run or not judged.paths:
            judged = replace(without_missing(judged), dry_run=mode.dry_run)
            return self._with_lifecycles(found, judged, mode)
        check_accepted(judged)
        importing.copy_blobs(found, origin, ServedStore(self._http), counting(progress, "weights"))
        return self._with_lifecycles(found, self._send("POST", "/models/import", body, mode), mode)

    def _write(self, asked: Asked, mode: Mode) -> Written:
        return self._send(asked.method, asked.path, asked.body, mode)

    def _send(self, method: str, path: str, body: Mapping[str, object], mode: Mode) -> Written:
        """Have a write done once; what is None in the body is left out."""
        from gitreg.wire import plain

        self._check_mode(mode)
        kept = {key: plain(value) for key, value in body.items() if value is not None}
        return said.accepted(said.written, self._http.write(method, path, kept, dry_run=mode.dry_run).data)

    def _check_mode(self, mode: Mode) -> None:
        if mode.propose:
            raise InvalidError(
                f"{self._http.uri} takes changes, and no proposals",
                hint=f"propose it to the repository: --registry {self._http.uri}/registry.git --propose",
            )
        if mode.user is not None:
            raise InvalidError("a server knows who you are by your token", hint="leave out --as")

    # How

    def _pages(
        self,
        path: str,
        read: Callable[[Mapping[str, Any]], said.T],
        query: Mapping[str, object],
        limit: int | None = None,
    ) -> Iterator[said.T]:
        """Give the rows of a list, or so many of them, a page at a time."""
        cursor, left = None, limit
        while left is None or left > 0:
            count = _PAGE if left is None else min(_PAGE, left)
            items, following = _page(self._http.get(path, {**query, "limit": count, "cursor": cursor}))
            yield from (said.accepted(read, each) for each in items[:count])
            if following is None or following == cursor:
                return
            cursor, left = following, None if left is None else left - len(items)


def _page(answer: Answer) -> tuple[list[Any], str | None]:
    found = answer.data
    items, following = found.get("items"), found.get("next")
    if not isinstance(items, list) or not (following is None or isinstance(following, str)):
        return said.accepted(lambda _: ([], None), None)
    return items, following
