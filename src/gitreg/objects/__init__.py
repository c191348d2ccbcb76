"""Keep the bytes of models: object stores, the local cache, files in and out of them."""

from __future__ import annotations

from gitreg.objects.cache import Cache
from gitreg.objects.download import Wanted, pull, select
from gitreg.objects.sources import Source, collect
from gitreg.objects.store import LocalStore, Store, open_store
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
    "Wanted",
    "collect",
    "hash_file",
    "open_store",
    "pull",
    "select",
    "store_sources",
]
