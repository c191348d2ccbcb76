"""Keep the tokens of a registry in a file beside it, read anew as soon as it changes."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.records import replace
from gitreg.server.auth import private
from gitreg.server.auth.tokens import Token, digest_of, fits, id_of, mint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NAME = "tokens"
MOST = 10_000
_MAX_BYTES = 16 << 20
# What has ended is listed for so long; then its line makes room.
_REMEMBERED = 90 * 86_400


class _Loaded(NamedTuple):
    """The file as it was read. It is kept open: so its inode number cannot become that of a later one."""

    fd: int
    stamp: tuple[int, ...]
    tokens: Mapping[str, Token]


class TokenFile:
    """The tokens of one registry. Several processes may use it at once, and several threads one instance."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self.path = private.folder_of(git_dir) / NAME
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._lines: dict[bytes, Token] = {}

    def close(self) -> None:
        """Close the file; the next question opens it again."""
        with self._lock:
            self._drop()

    def tokens(self) -> Mapping[str, Token]:
        """Give every token by its id; one `stat` where nothing changed.

        Raises IntegrityError where the file is damaged: nobody is let in by a part of it.
        """
        loaded = self._loaded
        if loaded is not None and self._stamp() == loaded.stamp:
            return loaded.tokens
        with self._lock:
            self._drop()
            fd = private.open_own(self.path)
            if fd is None:
                return {}
            try:
                stamp = _stamp_of(os.fstat(fd))
                self._lines = _parse(_read(fd), self.path, self._lines)
                self._loaded = _Loaded(fd, stamp, {token.id: token for token in self._lines.values()})
            except BaseException:
                os.close(fd)
                raise
            return self._loaded.tokens

    def find(self, text: str, now: float) -> tuple[Token | None, str]:
        """Find the token of a text that counts now; else None, and why, for the log alone."""
        identifier = id_of(text)
        if identifier is None:
            return None, "no token: cut off or mistyped"
        token = self.tokens().get(identifier)
        if not fits(token, text) or token is None:
            return None, f"no token {identifier} has this secret"
        if not token.counts_at(now):
            return None, f"token {identifier} is {token.state_at(now)}"
        return token, ""

    def counts(self, identifier: str, now: float) -> bool:
        """Whether a token of this id lets anybody in now."""
        token = self.tokens().get(identifier)
        return token is not None and token.counts_at(now)

    def create(
        self, token: Callable[[str, str], Token], now: float, log: Callable[[Token], object]
    ) -> tuple[Token, str]:
        """Make a token, and give it with its text, which is kept nowhere.

        `token` builds it of its id and digest; `log` is told before it is in force.
        """
        with private.held(self._git_dir):
            kept = {key: each for key, each in self.tokens().items() if _is_recent(each, now)}
            if len(kept) >= MOST:
                raise ConflictError(f"there are {MOST} tokens already", hint="revoke those that nobody needs")
            identifier, text = mint()
            while identifier in kept:
                identifier, text = mint()
            made = token(identifier, digest_of(text))
            log(made)
            self._write({**kept, identifier: made})
        return made, text

    def revoke(self, identifier: str, now: float, log: Callable[[Token], object]) -> Token:
        """Let a token count no more; NotFoundError where there is none of this id, ConflictError where it ended."""
        if identifier.startswith("gitreg_"):
            identifier = id_of(identifier) or identifier
        with private.held(self._git_dir):
            tokens = self.tokens()
            found = tokens.get(identifier)
            if found is None:
                raise NotFoundError(f"there is no token {identifier[:40]!r}", hint="`gitreg server token list --all`")
            if found.revoked is not None:
                raise ConflictError(f"token {identifier} is revoked already")
            ended = replace(found, revoked=int(now))
            log(ended)
            self._write({**tokens, identifier: ended})
        return ended

    def _write(self, tokens: Mapping[str, Token]) -> None:
        lines = [json.dumps(each.to_data(), sort_keys=True, separators=(",", ":")) for each in tokens.values()]
        private.write(self.path, "".join(f"{line}\n" for line in lines).encode())

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            return _stamp_of(os.lstat(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"{self.path}: {error.strerror}", hint="tell the server's owner") from error

    def _drop(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            os.close(loaded.fd)


def _is_recent(token: Token, now: float) -> bool:
    return now - min(token.expires, token.revoked or token.expires) < _REMEMBERED


def _stamp_of(found: os.stat_result) -> tuple[int, ...]:
    # The mode too: what was opened to others since is asked about again, and refused.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid)


def _read(fd: int) -> bytes:
    with os.fdopen(fd, "rb", closefd=False) as file:
        return file.read(_MAX_BYTES + 1)


def _parse(data: bytes, path: Path, known: Mapping[bytes, Token]) -> dict[bytes, Token]:
    """Read the tokens, each by its line; most lines are known from the reading before."""
    found: dict[bytes, Token] = {}
    if len(data) > _MAX_BYTES or (data and not data.endswith(b"\n")):
        data = data[:_MAX_BYTES] + b"\n(cut off)"
    try:
        for line in data.splitlines():
            found[line] = known.get(line) or Token.from_data(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidError) as error:
        raise IntegrityError(
            f"{path}, line {len(found) + 1} is no token, so that no token counts",
            hint="put it back from a copy, or take it away and make new tokens",
        ) from error
    return found
