"""Say how long weights are kept that nothing needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.reader.reachable import Release
from gitreg.records import dataclass

if TYPE_CHECKING:
    from gitreg.settings import Retention

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_SPAN = re.compile(r"(0|[1-9][0-9]{0,4})([hdw]?)", re.ASCII)
GRACE, TRASH = "14d", "7d"


def seconds(span: str) -> int:
    """Read a time span such as `12h`, `30d`, `8w` or `0`."""
    match = _SPAN.fullmatch(span)
    if not match or (match[1] != "0" and not match[2]):
        raise InvalidError(f"{span[:40]!r} is not a time span", hint="write 12h, 30d, 8w, or 0")
    return int(match[1]) * _HOURS.get(match[2], 0) * 3600


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things are kept, in seconds: `deleted` None is for ever; `hold` are patterns of models that keep all."""

    grace: int
    deleted: int | None
    trash: int
    hold: tuple[str, ...] = ()

    @classmethod
    def of(cls, rules: Retention, *, grace: str | None = None, trash: str | None = None) -> Terms:
        """Take the registry's rules, and in their place what was asked for."""
        return cls(
            grace=seconds(grace or rules.grace or GRACE),
            deleted=seconds(rules.deleted) if rules.deleted else None,
            trash=seconds(trash or rules.trash or TRASH),
            hold=rules.hold,
        )

    def release(self, now: float) -> Release | None:
        """Say which deleted versions do not need their weights any more."""
        return None if self.deleted is None else Release(int(now) - self.deleted, self.hold)
