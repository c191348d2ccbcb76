"""Note in a store which registries use it, so that none takes the weights of another."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, GitregError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection

    from gitreg.objects import Store
    from gitreg.objects.bucket import Bucket

_PREFIX = "registries/"
_NAME = re.compile(r"registries/([a-z0-9][a-z0-9_-]{0,62})\.json")


def claim(store: Store, registry: str) -> None:
    """Say that a registry keeps weights in a store and its mirrors; one look at each where it was said before."""
    stores: tuple[Store, ...] = getattr(store, "all", (store,))
    _claim(stores[0].bucket, registry)
    for mirror in stores[1:]:
        with suppress(GitregError):  # a mirror that is behind is told of by who writes the weights
            _claim(mirror.bucket, registry)


def _claim(bucket: Bucket, registry: str) -> None:
    key = f"{_PREFIX}{registry}.json"
    try:
        known = bucket.size(key) is not None
    except NotFoundError:  # the store is not made yet
        known = False
    if not known:
        bucket.put(key, json.dumps({"format": "gitreg/claim/v1", "registry": registry}).encode() + b"\n")


def claimed_by(bucket: Bucket) -> frozenset[str]:
    """Name the registries that keep weights here."""
    return frozenset(match[1] for found in bucket.list(_PREFIX) if (match := _NAME.fullmatch(found.key)))


def check_alone(bucket: Bucket, registries: Collection[str]) -> None:
    """Refuse to judge what is unneeded where registries use a store that are not looked at (ConflictError)."""
    others = sorted(claimed_by(bucket) - set(registries))
    if others:
        raise ConflictError(
            f"the store {bucket.uri!r} is used by other registries too: {', '.join(others)}",
            hint="name each with --also PATH; of one that is gone for good, remove its file under registries/",
        )
