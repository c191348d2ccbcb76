"""Keep the bytes of models: object stores, the local cache, files in and out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitreg.objects.addresses import open_bucket, open_store, open_stores
    from gitreg.objects.cache import Cache
    from gitreg.objects.download import Wanted, pull, select
    from gitreg.objects.mirrors import Stores
    from gitreg.objects.sources import Source, collect
    from gitreg.objects.store import LocalStore, Store
    from gitreg.objects.streams import Blob, hash_file
    from gitreg.objects.upload import Progress, StoredFile, store_sources

__all__ = [
    "Blob",
    "Cache",
    "LocalStore",
    "Progress",
    "Source",
    "Store",
    "StoredFile",
    "Stores",
    "Wanted",
    "collect",
    "hash_file",
    "open_bucket",
    "open_store",
    "open_stores",
    "pull",
    "select",
    "store_sources",
]

_ROOMS = {
    "addresses": ("open_bucket", "open_store", "open_stores"),
    "cache": ("Cache",),
    "download": ("Wanted", "pull", "select"),
    "mirrors": ("Stores",),
    "sources": ("Source", "collect"),
    "store": ("LocalStore", "Store"),
    "streams": ("Blob", "hash_file"),
    "upload": ("Progress", "StoredFile", "store_sources"),
}


def __getattr__(name: str) -> object:
    """Import a module when something of it is first asked for: who judges a push only asks a store for sizes."""
    from importlib import import_module

    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
