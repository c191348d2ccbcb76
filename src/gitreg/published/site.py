"""Open a published index: its head, asked for again only as far as it changed, and its shards, each verified."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitreg.errors import (
    DeniedError,
    GitregError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from gitreg.published.cache import IndexCache, Saved
from gitreg.published.files import PublishedFiles
from gitreg.published.shape import (
    HEAD,
    MAX_HEAD,
    NAMESPACE,
    SIGNATURES,
    Head,
    Ref,
    check_format,
    is_head,
    mapping,
    parse_json,
)
from gitreg.published.sources import BucketSource, WebSource

if TYPE_CHECKING:
    from gitreg.keys import AllowedSigners
    from gitreg.published.sources import Source

MAX_ARMOR = 8 * 1024
_PARSED = 64  # shards that stay parsed in memory


class Site:
    """A published index; with `trust`, only heads that a key listed there signed are taken."""

    def __init__(self, source: Source, *, trust: AllowedSigners | None = None) -> None:
        self._source = source
        self._trust = trust
        self._cache = IndexCache(source.uri)
        self._saved: Saved | None = None
        self._head: Head | None = None
        self._just_read = False
        self._parsed: dict[Ref, dict[str, Any]] = {}

    @property
    def uri(self) -> str:
        """Where the index is."""
        return self._source.uri

    def files(self, *, fetch: bool) -> PublishedFiles:
        """Read the registry as it was last published; without `fetch`, as this machine last heard of it."""
        known, self._just_read = self._just_read, False
        if (fetch and not known) or (self._head is None and not self._remembered()):
            self.refresh()
        if self._head is None:
            raise UnavailableError(f"nothing of the index {self.uri} is known here")
        return PublishedFiles(self._head, self.shard)

    def refresh(self) -> None:
        """Ask for the head, by one conditional GET; an older one than is known already is not taken.

        UnavailableError where nobody answers, IntegrityError where what is there is no head, DeniedError where it is
        not signed by whom `trust` lists.
        """
        self._remembered()
        answer = self._source.get(HEAD, limit=MAX_HEAD, tag=self._saved.tag if self._saved else None)
        if answer.data is None:
            return
        self._take(Saved(answer.data, answer.tag))

    def found(self, saved: Saved) -> Site:
        """Begin with a head that was just read, which is not asked for again."""
        self._take(saved)
        self._just_read = True
        return self

    def _take(self, saved: Saved) -> None:
        if self._saved is not None and saved.data == self._saved.data and saved.tag == self._saved.tag:
            return
        head = Head.parse(saved.data)
        self._verify(saved.data)
        if self._head is not None and head.published < self._head.published:
            return  # a cache on the way is behind; what is known already is newer
        self._head, self._saved = head, saved
        self._cache.save_head(saved)

    def _remembered(self) -> bool:
        """Take up the head that was last read; False where there is none that counts."""
        if self._head is not None:
            return True
        saved = self._cache.head()
        if saved is None:
            return False
        try:
            head = Head.parse(saved.data)
            self._verify(saved.data)
        except (InvalidError, IntegrityError, DeniedError):
            return False
        self._head, self._saved = head, saved
        return True

    def shard(self, ref: Ref) -> dict[str, Any]:
        """Give a shard, out of memory, the cache, or the source; IntegrityError where it is not what was named."""
        found = self._parsed.get(ref)
        if found is None:
            found = mapping(parse_json(self._bytes(ref), ref.key), ref.key)
            check_format(found, ref.key)
            while len(self._parsed) >= _PARSED:
                del self._parsed[next(iter(self._parsed))]
            self._parsed[ref] = found
        return found

    def _bytes(self, ref: Ref) -> bytes:
        kept = self._cache.shard(ref)
        if kept is not None:
            return kept
        try:
            data = self._source.get(ref.key, limit=ref.size).data
        except NotFoundError as error:
            raise UnavailableError(
                f"{ref.key}, which {HEAD} names, is not in the index {self.uri}",
                hint="the index was switched meanwhile: try again; if it stays so: gitreg index publish",
            ) from error
        if data is None or Ref.of(data) != ref:
            raise IntegrityError(
                f"{ref.key} in the index {self.uri} is not what {HEAD} names: its digest differs",
                hint="publish it again: gitreg index publish --anew",
            )
        self._cache.save_shard(ref, data)
        return data

    def _verify(self, data: bytes) -> None:
        """Verify the head's signature, where one is asked for."""
        if self._trust is None:
            return
        from gitreg.git.signatures import SshSignature, verify_bytes

        name = f"{SIGNATURES}{hashlib.sha256(data).hexdigest()}.sig"
        try:
            signature = SshSignature.parse(self._signature(name), NAMESPACE)
        except InvalidError as error:
            raise DeniedError(f"{name} of the index {self.uri} is no signature: {error}") from error
        key = self._trust.find(signature.key)
        if key is None:
            raise DeniedError(
                f"the index {self.uri} is signed by a key that is not listed",
                hint="list the publisher's public key among those that you trust, if it is to count",
            )
        now = int(time.time())
        if key.namespaces is not None and NAMESPACE not in key.namespaces:
            raise DeniedError(f"the key of {key.user} does not count for {NAMESPACE!r}, only for its namespaces")
        if key.is_early(now) or key.is_late(now):
            raise DeniedError(f"the key of {key.user}, which signed the index {self.uri}, does not count now")
        fault = verify_bytes(data, signature, key, NAMESPACE)
        if fault:
            raise DeniedError(f"the signature of the index {self.uri} does not hold: {fault}")

    def _signature(self, name: str) -> bytes:
        kept = self._cache.signature(name)
        if kept is not None:
            return kept
        try:
            data = self._source.get(name, limit=MAX_ARMOR).data
        except NotFoundError as error:
            raise DeniedError(
                f"the head of the index {self.uri} is not signed, and a signature is asked for",
                hint="publish it with --sign KEY, or read it without --trust",
            ) from error
        if data is None:
            raise IntegrityError(f"{name} of the index {self.uri} was not given out")
        self._cache.save_signature(name, data)
        return data


def open_site(location: str, *, trust: str | None = None) -> Site:
    """Open an index in a folder, an object store (s3://, gs://, az://) or on the web."""
    if location.startswith(("http://", "https://")):
        source: Source = _web(location, trusted=trust is not None)
    elif "://" in location or location.startswith("file:"):
        from gitreg.objects.addresses import open_bucket

        source = BucketSource(open_bucket(location, Path.cwd()))
    else:
        from gitreg.objects.local import LocalBucket

        source = BucketSource(LocalBucket(Path(location)))
    return Site(source, trust=signers(trust))


def find_site(url: str, *, trust: str | None = None) -> Site | None:
    """Open the index that a URL names; None where what is there is no index, such as a git repository.

    Where nothing is known of it yet, this asks for its head.
    """
    if "@" in url or "?" in url or "#" in url:
        return None
    source = WebSource(url)
    if IndexCache(source.uri).head() is None:
        try:
            answer = source.get(HEAD, limit=MAX_HEAD)
        except GitregError:
            return None
        if answer.data is None or not is_head(answer.data):
            return None
        return Site(_web(url, trusted=trust is not None), trust=signers(trust)).found(Saved(answer.data, answer.tag))
    return Site(_web(url, trusted=trust is not None), trust=signers(trust))


def _web(url: str, *, trusted: bool) -> WebSource:
    source = WebSource(url)
    if not source.is_safe and not trusted:
        raise InvalidError(
            f"the index {source.uri} would come over plain http, where anybody on the way may change it",
            hint="use https, or give --trust FILE with the key that signs it",
        )
    return source


def signers(path: str | None) -> AllowedSigners | None:
    """Read the keys that may sign an index, in ssh-keygen's format of allowed signers; None where none are named."""
    if path is None:
        return None
    from gitreg.keys import MAX_BYTES, AllowedSigners

    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"the keys to trust cannot be read: {path!r}: {error.strerror}") from error
    return AllowedSigners.parse(data, path)
