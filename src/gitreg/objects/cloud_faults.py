"""Turn what obstore says of a cloud into gitreg's errors, without the secrets that a URL may carry."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitreg.errors import DeniedError, GitregError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATER = "try again later"
_GO_ON = f"{LATER}; what is in the store already is not sent again"
_KEYS = "give credentials the way the platform does, and the rights to list, read and write: docs/stores.md"
# Words by which clouds say that it is the bucket that is not there, and not the object.
_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|(?:bucket|container) does not exist|InvalidBucketName", re.IGNORECASE
)
_NO_RANGE = re.compile(r"code: 416\b|<Code>InvalidRange|starting at \d+ for object with size \d+", re.IGNORECASE)
_NO_CREATE = re.compile(r"code: 501\b|<Code>NotImplemented", re.IGNORECASE)
_DENIED = re.compile(r"code: 40[13]\b")
# Who has no credentials is sent by obstore to ask the machine for some, where most machines know of none.
_NO_KEYS = re.compile(
    r"/latest/api/token|/latest/meta-data|//169\.254\.|//metadata\.google|/computeMetadata/|/metadata/identity|"
    r"performing token request|Missing (?:AccessKeyId|SecretAccessKey)|Account must be specified|service account file",
    re.IGNORECASE,
)
_STATUS = re.compile(r"status code: (\d{3})[^:<]*")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,80})</Code>")
# A request that got no answer: what was asked for is said already.
_UNANSWERED = re.compile(
    r"(?:Generic \w+ error: )?(?:Error performing \w+ request: )?"
    r"Error performing [A-Z]+ https?://(?:[^/\s@]*@)?([^/\s]+)\S* in \S+, after (\d+) retries,.*?- (.*)",
    re.DOTALL,
)
_SHOWN = 300
# A signed URL is a credential as long as it lasts.
_QUERY = re.compile(r"\?[^\s\"')>]+")


class Missing(Exception):  # noqa: N818 - these four never leave `objects.cloud`
    """The cloud knows no such object, or no such bucket."""


class Exists(Exception):  # noqa: N818
    """There is an object under that name already."""


class Beyond(Exception):  # noqa: N818
    """The range begins where the object has ended."""


class CannotCreate(Exception):  # noqa: N818
    """The server knows no write that succeeds only where nothing is."""


@contextmanager
def told(uri: str, doing: str, no_bucket: Callable[[], NotFoundError], *expected: type[Exception]) -> Iterator[None]:
    """Translate every error of obstore's inside the block; only the `expected` ones of this module get out of it."""
    from obstore.exceptions import BaseError

    try:
        yield
    except GitregError:
        raise
    except (BaseError, OSError, ValueError) as error:
        found = _translated(uri, doing, error, no_bucket)
        if isinstance(found, (GitregError, *expected)):
            raise found from error
        text = shown(str(found))
        if isinstance(found, Missing):
            raise NotFoundError(f"cannot {doing} in {uri!r}: {text}") from error
        raise _unavailable(uri, doing, text) from error


def _translated(uri: str, doing: str, error: Exception, no_bucket: Callable[[], NotFoundError]) -> Exception:
    from obstore.exceptions import (
        AlreadyExistsError,
        NotSupportedError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    text = str(error).partition("\n\nDebug source")[0]
    found: Exception
    if _NO_BUCKET.search(text):
        found = no_bucket()
    elif isinstance(error, FileNotFoundError):
        found = Missing(text)
    elif isinstance(error, AlreadyExistsError | PreconditionError):
        found = Exists(text)
    elif isinstance(error, NotSupportedError) or _NO_CREATE.search(text):
        found = CannotCreate(text)
    elif _NO_RANGE.search(text):
        found = Beyond(text)
    elif _NO_KEYS.search(text):
        found = DeniedError(f"there are no credentials for {uri!r}: {shown(text)}", hint=_KEYS)
    elif isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(text):
        found = DeniedError(f"{uri!r} does not let us {doing}: {shown(text)}", hint=_KEYS)
    else:
        found = _unavailable(uri, doing, shown(text))
    return found


def _unavailable(uri: str, doing: str, text: str) -> UnavailableError:
    hint = _GO_ON if doing.startswith(("send", "write")) else LATER
    return UnavailableError(f"cannot {doing} in {uri!r}: {text}", hint=hint)


def shown(text: str) -> str:
    """Shorten what obstore says to one line: the status and the cloud's own code for it, or the first words."""
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is not None:
        return status[0].removeprefix("status code: ").strip() + (f" ({code[1]})" if code else "")
    unanswered = _UNANSWERED.fullmatch(text)
    if unanswered is not None:
        text = f"no answer from {unanswered[1]} to {int(unanswered[2]) + 1} requests, {unanswered[3]}"
    line = " ".join(_QUERY.sub("?…", text).split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
