"""Keep secrets out of logs: tokens, passwords, cookies, signatures of store URLs."""

from __future__ import annotations

import logging
import re
from traceback import format_exception

_GONE = "…"
_MOST = 64 << 10  # characters of one line that anybody would read
# Each keeps what is needed to tell which secret it was, as its first group. None can take longer than its text.
_SECRETS = (
    re.compile(r"(gitreg_[a-z0-9]{10}_)[0-9A-Za-z]+"),
    re.compile(r"(eyJ)[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}"),
    # Something opaque: words of a sentence have no digit, capital or sign in them.
    re.compile(r"((?i:basic|bearer)\s+)(?!gitreg_|eyJ)(?=[a-z]*[A-Z0-9+/=_~-])[A-Za-z0-9+/=._~-]{4,}"),
    re.compile(r"(\b(?:__Host-)?gitreg(?:-[0-9a-f]{8})?=)[^;\s\"']+"),
    re.compile(r"(://[^/\s:@]{0,200}:)[^/\s@]{1,500}(?=@)"),
    re.compile(
        r"([?&](?:X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|X-Goog-Signature|X-Goog-Credential|sig|token|"
        r"access_token|id_token)=)[^&\s\"']+",
        re.IGNORECASE,
    ),
)


_STANDARD = frozenset({*vars(logging.LogRecord("", 0, "", 0, "", None, None)), "message", "asctime"})


def redact(text: str) -> str:
    """Take secrets out of a text; what names them stays."""
    text = text if len(text) <= _MOST else text[:_MOST] + _GONE
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{_GONE}", text)
    return text


class Redacting(logging.Filter):
    """Take secrets out of what a handler is given. Filters of loggers do not inherit: add it to every handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the message, its arguments, what comes beside them as `extra`, and the traceback."""
        for name in vars(record).keys() - _STANDARD:
            setattr(record, name, _redacted(getattr(record, name)))
        record.msg = redact(str(record.msg))
        if isinstance(record.args, dict):
            record.args = {key: _redacted(value) for key, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_redacted, record.args))
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redact("".join(format_exception(record.exc_info[1])).rstrip("\n"))
        return True


def _redacted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    return value if value is None or isinstance(value, int | float) else redact(str(value))
