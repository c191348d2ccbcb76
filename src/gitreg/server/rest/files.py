"""Give and take files: weights, and the registry's own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gitreg.digest import Digest
from gitreg.errors import DeniedError, GitregError, NotFoundError, UnavailableError
from gitreg.layout import ACCESS, SETTINGS
from gitreg.names import ModelName
from gitreg.objects import Store
from gitreg.objects.faults import NoStoreError
from gitreg.reader import Snapshot
from gitreg.registry import reads
from gitreg.server.answers import COMMIT, encoded, unchanged, untagged
from gitreg.server.downloads import download, untold
from gitreg.server.rest.asking import COMMIT_ID, Asking, At, Model, Project, Which
from gitreg.server.rest.inputs import WHOLE, Input
from gitreg.server.rest.routes import StrictRoute
from gitreg.server.uploads import offer

router = APIRouter(tags=["files"], route_class=StrictRoute)
_Hex = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The SHA-256 of the file.")]
_FilePath = Annotated[str, Path(max_length=1024)]
_Commit = Annotated[
    str | None,
    Query(max_length=64, description="A commit of main; the newest, where left out.", json_schema_extra=COMMIT_ID),
]
# In which segment of a governed path the project stands.
_PROJECTS = {"models": 1, "approvals": 1, "deployments": 2, "status": 2}
_CREATED, _ACCEPTED = 201, 202
_FOR_EVER = "private, max-age=31536000, immutable"


class Upload(Input):
    """A file to send."""

    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=1 << 53), WHOLE]


@router.get("/models/{project}/{model}/versions/{version}/files/{path:path}", summary="Download a file")
def get_file(
    request: Request, project: Project, model: Model, version: Which, path: _FilePath, at: At = None
) -> Response:
    """Give the bytes of a file of a version; with Range a part of them. The ETag is the digest.

    Content-Location names the version that an alias, an environment or a range means. Where the store is in a cloud and
    signs URLs the answer is a redirect to it.
    """
    asking = Asking(request, at)
    chosen = asking.selector(project, model, version)
    manifest = reads.found(asking.at, chosen).manifest
    artifact = next((each for each in manifest.artifacts if each.path == path), None)
    if artifact is None:
        raise NotFoundError(
            f"{manifest.model}@{manifest.version} has no file {path[:200]!r}", hint="its `artifacts` name them"
        )
    serving = asking.serving
    told = {
        COMMIT: asking.at.commit,
        "Content-Location": quote(f"/models/{manifest.model}/versions/{manifest.version}/files/{path}"),
        # What a version holds is for ever; which version an environment or `latest` means is not.
        "Cache-Control": _FOR_EVER if chosen.version else "private, no-cache",
    }
    return download(request, serving.registry.store, artifact, signs=serving.signs_urls, told=told)


# Uploads


@router.post("/uploads", summary="Begin an upload")
def begin_upload(request: Request, body: Upload) -> Response:
    """Say whether a file is in the store already, and how to send it where it is not.

    `received` is how many bytes of it have come before: with `Content-Range` only the rest needs to be sent.
    """
    asking = Asking(request)
    asking.may_register()
    digest = Digest.parse(body.digest)
    serving = asking.serving
    if _store(asking).renewed(digest, body.size):
        return untagged({"present": True, "digest": str(digest), "size": body.size}, asking.at.commit)
    received = serving.uploads.received(asking.caller.key, digest, body.size)
    made = {"present": False, "received": received, **offer(digest, serving.authenticator.settings.url)}
    return untagged(made, asking.at.commit)


@router.put(
    "/uploads/sha256/{hex}",
    summary="Send a file",
    status_code=201,
    responses={_ACCEPTED: {"description": "More of the file is to come, or it is being stored."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_upload(request: Request, hex: _Hex) -> Response:  # noqa: A002 - the address's own word
    """Store the body, which must have this SHA-256. It is there as a whole, or not at all.

    With `Content-Range: bytes FIRST-LAST/SIZE` it is a part, which is kept as far as it came; the part that ends it has
    it stored. 202 says that more is to come or, where all of it has, that it is being stored: `bytes */SIZE` without a
    body asks for that again.
    """
    asking = Asking(request)
    asking.may_register()
    digest, serving = Digest(hex), asking.serving
    store = await asyncio.to_thread(_store, asking)
    if "content-range" in request.headers:
        taken = await serving.uploads.take_part(request, store, digest, asking.caller.key)
        size = taken.size
        if not taken.stored:
            more = {"present": False, "received": taken.received, "size": size}
            return untagged(more, asking.at.commit, status=_ACCEPTED)
    else:
        size = await serving.uploads.take(request, store, digest, asking.caller.key)
    serving.meters.uploaded(size)
    await asyncio.to_thread(_claim, asking)
    return untagged({"present": True, "digest": str(digest), "size": size}, asking.at.commit, status=_CREATED)


def _store(asking: Asking) -> Store:
    """Open the store for what comes in; UnavailableError where it is gone."""
    from gitreg.keep.claims import check_begun

    store = asking.serving.registry.store
    try:
        check_begun(store, asking.at)
    except UnavailableError as error:
        raise untold(error) from error
    return store


def _claim(asking: Asking) -> None:
    """Note in the store that this registry uses it, as whoever registers from a clone does."""
    from gitreg.keep.claims import claim

    with suppress(GitregError):  # whoever registers next says so too
        claim(asking.serving.registry.store, asking.at.settings.name, asking.at.commit)


@router.get("/uploads/sha256/{hex}", summary="Follow an upload")
def get_upload(request: Request, hex: _Hex) -> Response:  # noqa: A002
    """Say how many bytes of a file have come, while it is on its way; 404 where nothing has."""
    asking = Asking(request)
    asking.may_register()
    digest = Digest(hex)
    on_its_way = asking.serving.uploads.progress(asking.caller.key, digest)
    if on_its_way is not None:
        received, size = on_its_way
        return untagged({"present": False, "received": received, "size": size}, asking.at.commit)
    stored = None
    with suppress(NoStoreError):  # it begins with the first file
        stored = _store(asking).size_of(digest)
    if stored is None:
        raise NotFoundError(f"{digest} is neither here nor on its way", hint="PUT it here")
    return untagged({"present": True, "received": stored, "size": stored}, asking.at.commit)


# The registry's own files


@router.get("/files/{path:path}", summary="Read a file of the registry")
def get_governed(request: Request, path: _FilePath, commit: _Commit = None) -> Response:
    """Give a file of the registry's repository as it is at a commit of main; its ETag is git's id of it."""
    asking = Asking(request)
    _require_path(asking, path)
    at = asking.at_commit(commit)
    info = at.repository.objects.at(at.commit, path)
    if info is None or info.type != "blob":
        raise NotFoundError(f"there is no file {path[:200]!r} at {at.commit[:12]}")
    if found := unchanged(request, info.oid, at.commit):
        return found
    headers = {"ETag": f'"{info.oid}"', COMMIT: at.commit, "Content-Disposition": "attachment"}
    return Response(at.read(path), headers=headers, media_type="application/octet-stream")


@router.get("/trees/", summary="List the registry's files")
def get_root(request: Request, commit: _Commit = None) -> Response:
    """List the names at the top of the registry's repository at a commit of main."""
    return _tree(request, "", commit)


@router.get("/trees/{path:path}", summary="List a folder of the registry")
def get_tree(request: Request, path: _FilePath, commit: _Commit = None) -> Response:
    """List the names in a folder of the registry's repository at a commit of main; its ETag is git's id of it."""
    return _tree(request, path, commit)


def _tree(request: Request, path: str, commit: str | None) -> Response:
    asking = Asking(request)
    at = asking.at_commit(commit)
    folder = path.strip("/")
    if folder:
        _require_folder(asking, at, folder)
    info = at.repository.objects.at(at.commit, folder) if folder else None
    if folder and (info is None or info.type != "tree"):
        raise NotFoundError(f"there is no folder {path[:200]!r} at {at.commit[:12]}")
    oid = info.oid if info else at.repository.objects.commit(at.commit).tree
    entries = [
        {
            "name": each.name,
            "type": "tree" if each.mode in {"40000", "040000"} else "blob",
            "oid": each.oid if _is_whole(asking, folder, each.name) else None,
        }
        for each in at.repository.objects.entries(at.commit, folder)
        if _is_listed(asking, at, folder, each.name)
    ]
    headers = {COMMIT: at.commit}
    if asking.readable.everything:  # what others see of it depends on the rules as well
        if found := unchanged(request, oid, at.commit):
            return found
        headers["ETag"] = f'"{oid}"'
    said: dict[str, Any] = {"commit": at.commit, "oid": oid if _is_whole(asking, folder) else None, "entries": entries}
    return Response(encoded(said), headers=headers, media_type="application/json")


def _named(parts: list[str]) -> tuple[str | None, str | None]:
    """Find the project and the model that a governed path is about."""
    start = _PROJECTS.get(parts[0])
    if start is None:
        return None, None
    project = parts[start] if len(parts) > start else None
    model = parts[start + 1] if len(parts) > start + 1 else None
    if model is not None and start == _PROJECTS["status"]:
        model = model.removesuffix(".yaml")
    return project, model


def _require_path(asking: Asking, path: str) -> None:
    """Raise where the caller may not read a file: a model's as the model, the rules and settings whoever is known."""
    asking.caller  # noqa: B018 - somebody has to be known
    if asking.readable.everything or path in {SETTINGS, ACCESS}:
        return
    project, model = _named(path.split("/"))
    if project is not None and model is not None:
        asking.model(project, model)
        return
    raise DeniedError(f"{asking.caller.reader} may not read {path[:200]!r}", hint="ask for `read` on */*")


def _require_folder(asking: Asking, at: Snapshot, folder: str) -> None:
    """Raise where the caller may not know of a folder: the same where there is none, as the answer must not tell."""
    above, _, name = folder.rpartition("/")
    project, model = _named(folder.split("/"))
    if project is not None and model is not None:
        asking.model(project, model)
    elif not _is_listed(asking, at, above, name):
        raise NotFoundError(f"there is no folder {folder[:200]!r} at {at.commit[:12]}")


def _is_whole(asking: Asking, *parts: str) -> bool:
    """Whether the caller may read all that an id of git's stands for, which changes with each change below it."""
    path = "/".join(filter(None, parts))
    _, model = _named(path.split("/"))
    return asking.readable.everything or model is not None or path in {SETTINGS, ACCESS}


def _is_listed(asking: Asking, at: Snapshot, folder: str, name: str) -> bool:
    """Whether the caller may know of a name in a folder."""
    if asking.readable.everything:
        return True
    parts = [*folder.split("/"), name] if folder else [name]
    project, model = _named(parts)
    if project is None:
        return parts[0] in {*_PROJECTS, SETTINGS, ACCESS}
    try:
        if model is not None:
            return asking.readable(ModelName(project, model))
        return any(asking.readable(each) for each in at.models(project))
    except GitregError:
        return False
