"""Find the store that a URI names: `file:` and a path, `s3://`, `gs://` or `az://` with a bucket and a prefix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.objects.bucket import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.store import Store

CLOUDS = ("s3", "gs", "az")
_WAYS = "write file:../store, file:///srv/store, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
# What is common to the three clouds' names of buckets; each has rules of its own and tells of them itself.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
# No character that would have to be escaped, nothing that a client might read as a way up.
_PREFIX = re.compile(r"(?:[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*(?:/|\Z))*")
_MAX = 512


def parse(uri: str, base: Path) -> Path | Address:
    """Read a store's URI; a relative `file:` path counts from `base`, the registry's git directory.

    InvalidError for whatever else, and for credentials in it: they come from the platform, never from the URI.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or not uri.isprintable() or len(uri) > 8 * _MAX:
        raise InvalidError(f"{_shown(uri)} is not a store", hint=_WAYS)
    if scheme == "file":
        return _folder(uri, rest, base)
    if scheme not in CLOUDS:
        raise InvalidError(f"{scheme[:80]!r} is not a kind of store", hint=_WAYS)
    return _address(scheme, rest)


def open_bucket(uri: str, base: Path, *, endpoint: str | None = None) -> Bucket:
    """Open the place that a URI names; nothing is touched, and no credentials are looked for, before the first use.

    `endpoint` is the URL of a server that speaks S3, where it is not Amazon's and not in the environment.
    """
    found = parse(uri, base)
    if isinstance(found, Path):
        from gitreg.objects.local import LocalBucket

        return LocalBucket(found)
    from gitreg.objects.cloud import CloudBucket

    return CloudBucket(found, endpoint=endpoint)


def open_store(uri: str, base: Path, *, endpoint: str | None = None) -> Store:
    """Open the store that a URI names; InvalidError where it names none."""
    from gitreg.objects.store import LocalStore, Store

    found = parse(uri, base)
    return LocalStore(found) if isinstance(found, Path) else Store(open_bucket(uri, base, endpoint=endpoint))


def open_stores(primary: Store, mirrors: Sequence[str], base: Path, *, endpoint: str | None = None) -> Store:
    """Join a store with the mirrors that hold the same, as a `Stores`; without mirrors, it stays alone.

    The primary may be another than registry.yaml names: a mirror that is the same place is left out.
    """
    opened: dict[str, Store] = {}
    for each in mirrors:
        store = open_store(each, base, endpoint=endpoint)
        opened[store.uri] = store
    opened.pop(primary.uri, None)
    if not opened:
        return primary
    from gitreg.objects.mirrors import Stores

    return Stores(primary, tuple(opened.values()))


def _shown(uri: str) -> str:
    """Quote a URI for a message without what may be a secret in it."""
    return repr(re.sub(r"//[^/?#]*@", "//***@", uri)[:80])


def _address(scheme: str, rest: str) -> Address:
    uri = f"{scheme}:{rest}"
    authority = re.split(r"[/?#\\]", rest.removeprefix("//"), maxsplit=1)[0]
    if "@" in authority:
        raise InvalidError(
            f"{_shown(uri)} carries credentials",
            hint="leave them out of the URI and give them the way the platform does: docs/stores.md",
        )
    if "?" in rest or "#" in rest:
        raise InvalidError(
            f"{_shown(re.split('[?#]', uri)[0])} has a query or a fragment, where keys and tokens end up",
            hint=f"write the bucket and the prefix alone: {scheme}://bucket/prefix",
        )
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not _BUCKET.fullmatch(bucket):
        raise InvalidError(f"{_shown(uri)} names no bucket", hint=f"write {scheme}://bucket/prefix")
    if not _PREFIX.fullmatch(prefix) or len(prefix) > _MAX:
        raise InvalidError(
            f"{_shown(uri)} has a prefix that not every store takes",
            hint="use letters, digits and . _ = @ + - between slashes, and let no part begin with a dot",
        )
    return Address(scheme, bucket, prefix.rstrip("/"))


def _folder(uri: str, rest: str, base: Path) -> Path:
    from urllib.parse import unquote

    if rest.startswith("//"):
        host, slash, rest = rest.removeprefix("//").partition("/")
        if host not in {"", "localhost"} or not slash:
            raise InvalidError(
                f"{_shown(uri)} names the host {host.rpartition('@')[2][:80]!r}; a folder is on this machine",
                hint="write file:///srv/store, with three slashes, or file:../store",
            )
        rest = slash + rest
    path = unquote(rest, errors="surrogateescape")
    if not path or "\0" in path:
        raise InvalidError(f"{_shown(uri)} names no folder", hint="write file:../store, or file:///srv/store")
    # The `..` of a relative path leaves the real git directory, not a symlink to it.
    return (base.resolve() / path).resolve()
