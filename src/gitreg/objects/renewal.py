"""Tell `gitreg gc` that a blob which has long been in a store is about to be needed again.

What was written within its grace, gc leaves. A registration that finds a blob there would write nothing of it, so it
writes an empty object beside it, `similar/0/<64 hex>`: the name of a feature that no blob has.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError
from gitreg.objects.recipes import blob_key, layout_of, recipe_key
from gitreg.objects.similar import feature_key

if TYPE_CHECKING:
    from gitreg.digest import Digest
    from gitreg.objects.bucket import Bucket, Found

MARK = "0"
_LATELY = 600  # seconds; what was written since then is new enough


def renewed(bucket: Bucket, digest: Digest, size: int) -> bool:
    """Whether a blob is there with all that it is made of; if so, gc takes it for new from now on."""
    found = _found(bucket, digest, size)
    if found is None:
        return False
    if found.modified > time.time() - _LATELY:
        return True
    bucket.put(feature_key(MARK, digest), b"", replace=True)
    return _found(bucket, digest, size) is not None  # gc may have taken it before it saw the mark


def _found(bucket: Bucket, digest: Digest, size: int) -> Found | None:
    """Look up the object that a blob is, or its recipe; None where that is broken, or bytes that it names are gone."""
    whole = bucket.find(blob_key(digest))
    if whole is not None:
        return whole if whole.size == size else None
    recipe = bucket.find(recipe_key(digest))
    if recipe is None:
        return None
    try:
        layout = layout_of(bucket, digest)
    except IntegrityError:
        return None
    return recipe if layout.size == size and layout.is_there() else None
