"""The errors of callers who are not known, or who ask too often."""

from __future__ import annotations

from gitreg.errors import DeniedError, InvalidError, UnavailableError


class UnauthenticatedError(DeniedError):
    """Nobody is known behind a request: no credentials, or none that count.

    `reason` is for the log alone. The message is the same whatever was wrong with a token that has the right form.
    """

    http_status = 401

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason or message


class TooManyRequestsError(UnavailableError):
    """A caller or an address asks more often than it may."""

    http_status = 429

    def __init__(self, what: str, seconds: float) -> None:
        self.retry_after = max(1, round(seconds + 0.5))
        super().__init__(f"too many {what}", hint=f"try again in {self.retry_after} s")


class CrowdedError(UnavailableError):
    """More connections are open than the server keeps."""

    retry_after = 10

    def __init__(self) -> None:
        super().__init__("too many connections are open", hint=f"try again in {self.retry_after} s")


class MalformedError(InvalidError):
    """A request that HTTP does not allow."""

    http_status = 400


class TooLargeError(DeniedError):
    """What comes before a request's body is larger than any that gitreg needs."""

    http_status = 431
