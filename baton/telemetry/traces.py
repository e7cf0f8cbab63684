"""OpenTelemetry traces, if OTEL_EXPORTER_OTLP_ENDPOINT is set and `baton-train[otel]` is installed.

If one of them is missing, a span only creates one object, and OpenTelemetry is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from baton.telemetry import log_context

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_MILLISECONDS = 2000
Carrier = Mapping[str, str]


class _Traces:
    """The tracer of this process. None until `set_up`."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


def set_up(service: str, environment: Mapping[str, str] | os._Environ[str] = os.environ) -> str | None:
    """Starts tracing if an endpoint is set in the environment. Returns an error text if a package is missing."""
    endpoint = next(filter(None, map(environment.get, ENDPOINTS)), None)
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        return f"no traces are sent to {endpoint}: {error.name or error} is missing; pip install 'baton-train[otel]'"
    name = environment.get("OTEL_SERVICE_NAME") or service
    _Traces.provider = TracerProvider(resource=Resource.create({"service.name": name}))
    _Traces.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _Traces.tracer = _Traces.provider.get_tracer("baton")
    return None


class Span:
    """A span, or a no-op without tracing. Attribute names are those of OpenTelemetry, or begin with `baton.`."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def tell(self, **attributes: log_context.Value | None) -> None:
        """Sets attributes. `__` in a name means a dot. Attributes that are None are left out."""
        if self._span is not None:
            given = {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
            self._span.set_attributes(given)

    def call(self, name: str) -> None:
        """Sets the name of the span, if the name was not known at the start."""
        if self._span is not None:
            self._span.update_name(name)

    @property
    def trace_id(self) -> str | None:
        """The trace id, 32 hex digits. None without tracing."""
        return f"{self._span.get_span_context().trace_id:032x}" if self._span is not None else None


@contextmanager
def span(
    name: str, parent: Carrier | None = None, *, server: bool = False, **told: log_context.Value | None
) -> Iterator[Span]:
    """A span for the block. Its parent is `parent` if given, otherwise the current span."""
    if _Traces.tracer is None:
        yield Span()
        return
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    context, kind = (extract(parent) if parent is not None else None), SpanKind.SERVER if server else SpanKind.INTERNAL
    with _Traces.tracer.start_as_current_span(name, context, kind) as opened:
        made = Span(opened)
        made.tell(**told)
        yield made


def carrier() -> dict[str, str]:
    """The current span as headers, with which another thread or process continues it."""
    found: dict[str, str] = {}
    if _Traces.tracer is not None:
        from opentelemetry.propagate import inject

        inject(found)
    return found


def flush() -> None:
    """Sends finished spans before the process ends. An unavailable collector delays this by at most 2 s."""
    if _Traces.provider is not None:
        _Traces.provider.force_flush(FLUSH_MILLISECONDS)
