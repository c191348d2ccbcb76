"""Say what an examination of a repository found."""

from __future__ import annotations

from gitreg.records import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `gitreg doctor` has to say; `fine` is false where something must be done.

    `opens` says that a push could go past the gate because of it. What is fine and has a remedy all the same is for
    the server's owner to know.
    """

    fine: bool
    subject: str
    message: str
    remedy: str | None = None
    opens: bool = False


def wrong(subject: str, message: str, remedy: str, *, opens: bool = False) -> Finding:
    """Say that something must be done."""
    return Finding(fine=False, subject=subject, message=message, remedy=remedy, opens=opens)


def note(subject: str, message: str, remedy: str) -> Finding:
    """Say what the server's owner should know of."""
    return Finding(fine=True, subject=subject, message=message, remedy=remedy)
