"""Write the server's log: a JSON object a line, or text for a terminal, with the request that it belongs to."""

from __future__ import annotations

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS = ("json", "text")
LEVELS = ("debug", "info", "warning", "error")
request_id: ContextVar[str | None] = ContextVar("gitreg_request_id", default=None)
# What a record may carry besides its message, under these very names.
FIELDS = "gitreg_fields"
_MOST = 2000
_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: when, how bad, who says it, what, and of which request."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MOST],
            "process": record.process,
        }
        if current := request_id.get():
            found["request_id"] = current
        fields: Mapping[str, object] = getattr(record, FIELDS, {})
        found |= {key: value for key, value in fields.items() if value is not None}
        if record.exc_info:
            found["exception"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)


def configuration(form: str, level: str) -> dict[str, Any]:
    """Give the configuration for logging.config: everything to standard error, with secrets taken out.

    uvicorn's own line for each request is left out: the server writes a better one.
    """
    formatters = {"json": {"()": JsonFormatter}, "text": {"format": _TEXT}}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {form: formatters[form]},
        "filters": {"redacting": {"()": "gitreg.server.auth.redact.Redacting"}},
        "handlers": {
            # Not sys.stderr: who puts another file there for a while, as tests do, may have closed it by the next line.
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.__stderr__",
                "formatter": form,
                "filters": ["redacting"],
            },
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            "uvicorn": {"level": level.upper(), "propagate": True},
            "uvicorn.access": {"level": "WARNING", "propagate": True},
        },
    }


def configure(form: str = "json", level: str = "info") -> None:
    """Log so from now on, in this process."""
    logging.config.dictConfig(configuration(form, level))
