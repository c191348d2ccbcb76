"""Sign URLs under which a blob can be read from a cloud without credentials, for a while.

Only reading: who writes through a signed URL could put any bytes under a digest, over what lies there already.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from gitreg.objects.cloud import CloudBucket
from gitreg.objects.recipes import blob_key

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    from gitreg.digest import Digest
    from gitreg.objects.store import Store


def signed_url(store: Store, digest: Digest, seconds: int) -> str | None:
    """Sign a URL for the whole of a blob; None where the store signs none, or the blob lies in several objects."""
    bucket = store.bucket
    if not isinstance(bucket, CloudBucket) or bucket.size(blob_key(digest)) is None:
        return None
    import obstore

    client = cast("S3Store | GCSStore | AzureStore", bucket.store)
    try:
        return obstore.sign(client, "GET", blob_key(digest), timedelta(seconds=seconds))
    except obstore.exceptions.BaseError:
        return None  # it has no key to sign with: what cannot be signed is streamed
