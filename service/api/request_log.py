"""Gives each request an id, which is in the answer and the log, and writes one log line, counters and a trace."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baton.telemetry import log_context, traces
from service.api.headers import REQUEST_ID
from service.api.problems import METHODS
from service.metrics.counters import Counters

FORM = re.compile(rb"[A-Za-z0-9._-]{1,64}")
TRACED = (b"traceparent", b"tracestate")
PROBES = ("/healthz", "/readyz", "/metrics")
"""Monitoring calls these paths often, so most lines of the log would be about them. Their level is debug."""

log = logging.getLogger("service.requests")


class _Seen:
    """One request: the status of its answer, and its duration in seconds."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self.begun = scope, time.monotonic()
        self.status = 500  # kept if an exception occurs before the answer
        self.head: float | None = None

    def answered(self, status: int) -> None:
        self.status, self.head = status, self.seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    @property
    def method(self) -> str:
        return self.scope["method"] if self.scope["method"] in (*METHODS, "OPTIONS") else "(other)"

    @property
    def route(self) -> str:
        """The path template of the route. It has few values, so metrics can have it as a label."""
        return getattr(self.scope.get("route"), "path", "(none)")


class Requests:
    """ASGI middleware that does not buffer streams."""

    def __init__(self, app: ASGIApp, counters: Counters) -> None:
        self._app, self._counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name, seen = name_of(scope), _Seen(scope)
        # The log context stays set, because the server logs uncaught exceptions later in the same task. The task ends
        # with the answer.
        log_context.bind(request_id=name)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = name
                seen.answered(message["status"])
            await send(message)

        under_way = self._counters.in_progress.track_inprogress()
        carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"] if key in TRACED}
        with under_way, traces.span(seen.method, carrier, server=True) as span:
            log_context.bind(trace_id=span.trace_id)
            try:
                await self._app(scope, receive, send_named)
            finally:
                _trace(span, seen, name)
                self._record(seen)

    def _record(self, seen: _Seen) -> None:
        seconds = seen.seconds if seen.head is None else seen.head
        self._counters.requests.labels(seen.method, seen.route, str(seen.status)).observe(seconds)
        level = logging.DEBUG if seen.scope["path"] in PROBES else logging.INFO
        if log.isEnabledFor(level):
            log.log(level, "%s %s %d", seen.method, seen.scope["path"], seen.status, extra=_extra(seen))


def _extra(seen: _Seen) -> dict[str, Any]:
    """Fields of the log line. Query and headers are left out, because they may contain secrets."""
    principal, client = seen.scope.get("state", {}).get("principal"), seen.scope.get("client")
    return {
        "method": seen.method,
        "path": seen.scope["path"],
        "route": seen.route,
        "status": seen.status,
        "seconds": round(seen.seconds, 4),
        "client": client[0] if client else None,
        "user": getattr(principal, "name", None),
    }


def _trace(span: traces.Span, seen: _Seen, name: str) -> None:
    span.call(f"{seen.method} {seen.route}")
    span.tell(http__request__method=seen.method, http__route=seen.route, http__response__status_code=seen.status)
    found = seen.scope.get("path_params", {})
    span.tell(baton__request_id=name, baton__job=found.get("job_id"), baton__attempt_id=found.get("attempt_id"))


def name_of(scope: Scope) -> str:
    """The request id: the client's, if it is valid, else a new one."""
    given = [value for key, value in scope["headers"] if key == b"x-request-id"]
    if len(given) == 1 and FORM.fullmatch(given[0]):
        return str(given[0].decode())
    return f"{random.getrandbits(64):016x}"  # the id may be predictable; the secure source needs a system call
