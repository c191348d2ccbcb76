"""A registry behind a gitreg server: read and written over HTTP, without git."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from gitreg.client.served import Seen, ServedFiles, tip
from gitreg.client.weights import ServedStore
from gitreg.errors import ConflictError, InvalidError
from gitreg.names import ModelName, Selector
from gitreg.reader import VersionFile
from gitreg.records import replace
from gitreg.registry import reads, said
from gitreg.registry.facade import Registry
from gitreg.writer import Mode, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitreg.client.http import Http
    from gitreg.config import Location
    from gitreg.manifest import Manifest
    from gitreg.objects import Store, StoredFile
    from gitreg.reader import DeploymentRecord, LogEntry
    from gitreg.registry.inspected import Inspected
    from gitreg.registry.reads import AccessRow
    from gitreg.registry.register import RegisterRequest
    from gitreg.registry.results import LineageNode, ModelSummary, Recommendation, VersionSummary
    from gitreg.registry.search import Found

_PUSH = Mode()
_PAGE = 1000


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
            hint=f"name the repository: --registry {self._http.uri}/registry.git, or a clone of it",
        )

    @property
    def index(self) -> None:
        """No published index."""
        return

    def tip(self) -> str:
        """Name the newest commit that the server knows."""
        return tip(self._http)

    def refresh(self) -> None:
        """Do nothing: each question asks for what is there now."""

    def files(self, at: str | None = None) -> ServedFiles:
        """Read the registry as it is now, or as it was at a time."""
        commit = tip(self._http, at)
        if self._read is None or self._read.commit != commit:
            self._read = ServedFiles(self._http, commit, self._seen)
        return self._read

    def snapshot(self, at: str | None = None) -> NoReturn:  # noqa: ARG002 - there is none of any time
        """Refuse what needs git's history."""
        self._refuse()

    @property
    def store(self) -> Store:
        """Refuse: which files there are a version tells."""
        self._refuse()

    def store_of(self, manifest: Manifest) -> Store:
        """Give the files of a version, through the server."""
        return ServedStore(self._http, manifest)

    # Find

    def models(self, project: str | None = None, *, at: str | None = None) -> list[ModelSummary]:
        """List the models, or those of one project."""
        found = list(self._pages("/models", said.model_summary, {"project": project, "at": at}))
        return found or reads.models(self.files(at), project)  # which says what there is instead

    def versions(self, model: str, *, at: str | None = None) -> list[VersionSummary]:
        """List the versions of a model, highest first; deleted ones have the lifecycle `deleted`."""
        return list(self._pages(f"/models/{ModelName.parse(model)}/versions", said.version_summary, {"at": at}))

    def search(
        self,
        conditions: str | Sequence[str],
        *,
        order_by: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        at: str | None = None,
    ) -> Found:
        """Find the versions that meet every condition."""
        from gitreg.registry.search import Found

        if at is not None:
            raise InvalidError("a server searches what is there now", hint="leave out --at, or name the repository")
        given = (conditions,) if isinstance(conditions, str) else tuple(conditions)
        wanted = given[0] if len(given) == 1 else " and ".join(f"({each})" for each in given)
        rows: list[VersionSummary] = []
        while True:
            count = _PAGE if limit is None else min(_PAGE, limit - len(rows))
            answer = self._http.get("/search", {"q": wanted, "order_by": order_by, "limit": count, "cursor": cursor})
            items, cursor = _page(answer.data)
            rows += [said.accepted(said.version_summary, each) for each in items]
            if cursor is None or (limit is not None and len(rows) >= limit):
                return Found(versions=tuple(rows), commit=answer.headers.get("gitreg-commit", ""), next=cursor)

    def recommend(  # noqa: PLR0913 - what suits, what counts, and how many
        self,
        need: str,
        *,
        where: Sequence[str] = (),
        maximize: Sequence[str] = (),
        minimize: Sequence[str] = (),
        limit: int = 10,
        at: str | None = None,
    ) -> Recommendation:
        """Find the models that suit a need told in words."""
        if at is not None:
            raise InvalidError("a server recommends what is there now", hint="leave out --at, or name the repository")
        query = {
            "need": need,
            "where": [where] if isinstance(where, str) else list(where),
            "maximize": list(maximize),
            "minimize": list(minimize),
            "limit": limit,
        }
        return said.accepted(said.recommendation, self._http.get("/recommend", query).data)

    def lineage(self, selector: str, *, depth: int = 20, down: bool = False, at: str | None = None) -> LineageNode:
        """Tell what a version came from, over `depth` generations."""
        if down:
            self._refuse()
        return super().lineage(selector, depth=depth, at=at)

    def history(self, model: str, environment: str | None = None, *, at: str | None = None) -> list[DeploymentRecord]:
        """List the deployments of a model, newest first."""
        if at is not None:
            self._refuse()
        name, files = ModelName.parse(model), self.files()
        files.model(name)
        chosen = [reads.known_environment(files, environment)] if environment else files.environments()
        rows = [row for where in chosen for row in self._pages(f"/deployments/{where}/{name}/history", said.deployment)]
        return reads.newest_first(rows, chosen)

    def log(self, model: str | None = None, *, limit: int | None = 20, at: str | None = None) -> list[LogEntry]:
        """Tell what changed, newest first, in all the registry or of one model."""
        name = str(ModelName.parse(model)) if model else None
        if limit is None or limit > _PAGE:
            limit = _PAGE
        items, _ = _page(self._http.get("/log", {"model": name, "limit": limit, "at": at}).data)
        return [said.accepted(said.log_entry, each) for each in items]

    def access_explain(self, user: str, *, model: str | None = None, environment: str | None = None) -> list[AccessRow]:
        """Tell what a user may do, and which rule says so."""
        return reads.access_rows(self.files().access, user, model, environment)

    # Publish

    def register(self, request: RegisterRequest, mode: Mode = _PUSH) -> Written:
        """Register a version: send its files to the store, then its metadata; `Written.about` is the manifest."""
        from gitreg.registry.register import check_parents, check_request, hashed, inspector, looked_into, upload

        name = check_request(request)
        self._check_mode(mode)
        with inspector(request) as inspecting:  # its process starts while the rest is looked up
            code, notes = _code(request)
            files = self.files()
            self._check_free(files, name, request)
            check_parents(files, request)
            inspected = looked_into(request, files.settings.formats, inspecting)
        stored = hashed(request, inspected) if mode.dry_run else upload(ServedStore(self._http), request, inspected)
        if inspected:
            inspected.check_unchanged()
        body = {**_of_files(stored, inspected), **_metadata(request), "code": code}
        written = self._send("POST", "/models/register", body, mode)
        return replace(_without_missing(written, stored), notes=(*written.notes, *notes))

    @staticmethod
    def _check_free(files: ServedFiles, name: ModelName, request: RegisterRequest) -> None:
        """Refuse a number that is taken, before anything is uploaded."""
        from gitreg.names import Version

        found = files.find(name, Version(request.version)) if request.version else None
        if found is not None:
            what = "exists" if isinstance(found, VersionFile) else "was deleted and keeps its number"
            raise ConflictError(f"{name}@{request.version} {what}", hint="take the next one: --bump patch")

    def import_version(self, *_: object, **__: object) -> NoReturn:
        """Refuse: it is copied between repositories."""
        self._refuse()

    def update(self, selector: str, mode: Mode = _PUSH, **fields: object) -> Written:
        """Change the editable parts of a version; see `plans.update` for the fields."""
        chosen = Selector.parse(selector)
        return self._send("PATCH", f"/models/{chosen.model}/versions/{chosen.what or 'latest'}", fields, mode)

    def update_model(self, model: str, mode: Mode = _PUSH, **fields: object) -> Written:
        """Change a model's description, task, owners, labels or card; see `plans.update_model`."""
        return self._send("PATCH", f"/models/{ModelName.parse(model)}", fields, mode)

    def alias(self, selector: str, name: str, mode: Mode = _PUSH, *, remove: bool = False) -> Written:
        """Set, move or remove an alias."""
        which = _which(selector)
        which = {"model": which["model"]} if remove else which
        return self._do("alias", mode, **which, alias=name, remove=remove)

    def yank(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Hide a version from resolution; it stays fetchable by its exact version."""
        return self._do("yank", mode, **_which(selector), undo=undo, reason=reason)

    def archive(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Keep a version for compliance; it cannot be deployed any more."""
        return self._do("archive", mode, **_which(selector), undo=undo, reason=reason)

    def delete(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Replace a version by a tombstone, or bring the very same bytes back."""
        return self._do("delete", mode, **_which(selector), undo=undo, reason=reason)

    # Deploy

    def deploy(  # noqa: PLR0913 - a pointer's fields and a reason
        self,
        selector: str,
        environment: str,
        mode: Mode = _PUSH,
        *,
        reason: str | None = None,
        canary: str | None = None,
        percent: int | None = None,
    ) -> Written:
        """Point an environment at a version."""
        pointer = {"environment": environment, "canary_version": canary, "canary_percent": percent}
        return self._do("deploy", mode, **_which(selector), **pointer, reason=reason)

    def promote(
        self, model: str, source: str, target: str | None = None, mode: Mode = _PUSH, *, reason: str | None = None
    ) -> Written:
        """Point the next environment, or the one named, at what runs in another."""
        return self._do("promote", mode, model=model, source=source, target=target, reason=reason)

    def rollback(
        self, model: str, environment: str, mode: Mode = _PUSH, *, to: str | None = None, reason: str | None = None
    ) -> Written:
        """Point an environment back at its last state, at a version, or at a deployment's number."""
        return self._do("rollback", mode, model=model, environment=environment, to=to, reason=reason)

    def undeploy(self, model: str, environment: str, mode: Mode = _PUSH, *, reason: str | None = None) -> Written:
        """Take a model out of an environment."""
        return self._do("undeploy", mode, model=model, environment=environment, reason=reason)

    def approve(
        self, selector: str, environment: str, mode: Mode = _PUSH, *, reject: bool = False, comment: str | None = None
    ) -> Written:
        """Record one's own verdict on a version for an environment."""
        verdict = {"reject": reject, "comment": comment}
        return self._do("approve", mode, **_which(selector), environment=environment, **verdict)

    def report(  # noqa: PLR0913 - a status's fields
        self,
        selector: str,
        environment: str,
        mode: Mode = _PUSH,
        *,
        state: str = "live",
        endpoint: str | None = None,
        detail: str | None = None,
    ) -> Written:
        """Record what really runs somewhere."""
        status = {"state": state, "endpoint": endpoint, "detail": detail}
        return self._do("report", mode, **_which(selector), environment=environment, **status)

    # How

    def _do(self, what: str, mode: Mode, **body: object) -> Written:
        if "model" in body:
            ModelName.parse(str(body["model"]))
        return self._send("POST", f"/models/{what}", body, mode)

    def _send(self, method: str, path: str, body: Mapping[str, object], mode: Mode) -> Written:
        """Have a write done once; what is None in the body is left out."""
        from gitreg.wire import plain

        self._check_mode(mode)
        kept = {key: plain(value) for key, value in body.items() if value is not None}
        answer = self._http.write(method, path, kept, dry_run=mode.dry_run)
        return said.accepted(said.written, answer.data)

    def _check_mode(self, mode: Mode) -> None:
        if mode.propose:
            raise InvalidError(
                f"{self._http.uri} takes changes, and no proposals",
                hint=f"propose it to the repository: --registry {self._http.uri}/registry.git --propose",
            )
        if mode.user is not None:
            raise InvalidError("a server knows who you are by your token", hint="leave out --as")

    def _pages(
        self, path: str, read: Callable[[Mapping[str, Any]], said.T], query: Mapping[str, object] | None = None
    ) -> Iterator[said.T]:
        cursor = None
        while True:
            items, following = _page(self._http.get(path, {**(query or {}), "limit": _PAGE, "cursor": cursor}).data)
            yield from (said.accepted(read, each) for each in items)
            if following is None or following == cursor:
                return
            cursor = following


def _page(data: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    items, following = data.get("items"), data.get("next")
    if not isinstance(items, list) or not (following is None or isinstance(following, str)):
        return said.accepted(lambda _: ([], None), None)
    return items, following


def _which(selector: str) -> dict[str, str]:
    chosen = Selector.parse(selector)
    return {"model": str(chosen.model), "version": chosen.what or "latest"}


def _code(request: RegisterRequest) -> tuple[dict[str, object] | None, tuple[str, ...]]:
    """Find the commit of the code one stands in, where this machine has git."""
    from shutil import which

    return reads.code(request.code) if which("git") else (None, ())


_SAME = (
    "model",
    "version",
    "bump",
    "description",
    "metrics",
    "hyperparameters",
    "datasets",
    "framework",
    "labels",
    "license",
    "parents",
    "base",
    "external",
    "evaluations",
    "signature",
    "created",
    "model_description",
    "task",
    "owners",
)


def _metadata(request: RegisterRequest) -> dict[str, object]:
    """Say of a version what its files do not."""
    found = {name: getattr(request, name) for name in _SAME}
    return {name: value for name, value in found.items() if value not in (None, "", {}, (), [])}


def _of_files(stored: Sequence[StoredFile], inspected: Inspected | None) -> dict[str, object]:
    """Say what the files are, and what was found in them."""
    rows = []
    for file in stored:
        row: dict[str, object] = {"path": file.path, "digest": str(file.digest), "size": file.size}
        if file.format:
            row["format"] = file.format
        if inspected and (report := inspected.report(file.path)):
            row["inspection"] = dict(report)
        rows.append(row)
    signature = inspected.signature() if inspected else None
    return {"artifacts": rows, **({"signature": signature} if signature else {})} if rows else {}


def _without_missing(written: Written, stored: Sequence[StoredFile]) -> Written:
    """Take out of a dry run's verdict that the files are not in the store: they would be sent before."""
    from gitreg.gate import Code

    if not written.dry_run or not stored:
        return written
    kept = tuple(each for each in written.violations if each.code is not Code.BLOB_MISSING)
    return replace(written, violations=kept)
