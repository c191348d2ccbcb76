"""Tell OpenTelemetry of requests, where its API is installed and somebody has set it up; else nothing."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span

_SERVER_ERROR = 500


class Traced(Protocol):
    """One request, as it is traced."""

    def answered(self, route: str, status: int) -> None:
        """Say how it was answered."""


class _Untraced:
    def answered(self, route: str, status: int) -> None:
        pass


class _Traced:
    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, route: str, status: int) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.update_name(f"{self._method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            self._span.set_status(Status(StatusCode.ERROR))


class Tracing:
    """Make a span for each request, below the one that the client names (W3C Trace Context)."""

    def __init__(self) -> None:
        self._is_there = find_spec("opentelemetry") is not None

    @contextlib.contextmanager
    def request(self, method: str, headers: Mapping[str, str], request_id: str) -> Iterator[Traced]:
        """Trace a request; attributes are those of OpenTelemetry's HTTP conventions."""
        if not self._is_there:
            yield _Untraced()
            return
        from opentelemetry import propagate, trace

        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):  # nobody has set it up
            yield _Untraced()
            return
        tracer = provider.get_tracer("gitreg")
        attributes = {"http.request.method": method, "gitreg.request_id": request_id}
        with tracer.start_as_current_span(
            method, context=propagate.extract(headers), kind=trace.SpanKind.SERVER, attributes=attributes
        ) as span:
            yield _Traced(span, method)
