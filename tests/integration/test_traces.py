"""Spans of requests and attempts, as a collector for OTLP over HTTP receives them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from baton.telemetry import traces
from tests.support.gcs import until
from tests.support.jobs import Jobs, tiny
from tests.support.service import ROOT, TOKEN, running_service
from tests.support.worker import workers

pytestmark = pytest.mark.process


@dataclass
class Collector:
    """The received spans."""

    url: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for found in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {one.key: one.value.string_value for one in found.resource.attributes}["service.name"]
            for span in (span for scope in found.scope_spans for span in scope.spans):
                told = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
                ids = {"trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex()}
                self.spans.append({"service": service, "name": span.name, **ids, **told})

    def of(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]


@contextmanager
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            found.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def test_an_attempt_and_what_it_asked_are_one_trace(tmp_path: Path, redis_url: str) -> None:
    with collector() as found:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "BATON_FAKE_EXEC": "1"}
        with (
            running_service(tmp_path, redis_url, **settings) as service,
            workers(service, tmp_path, "tests.support.fake_worker") as made,
            service.client() as http,
        ):
            jobs = Jobs(http)
            worker = made.start("--once", "--poll")
            job = jobs.submit(tiny())
            assert worker.process is not None
            assert worker.process.wait(200) == 0
            assert jobs.await_end(job)["status"] == "succeeded"
            until(lambda: found.of("POST /v1/attempts/{attempt_id}/finish"), 60, "the span of the last call")
    (attempt,) = found.of("attempt")
    assert (attempt["service"], attempt["baton.job"], attempt["baton.attempt"]) == ("baton-worker", job, 1)
    checkpoints = found.of("checkpoint")
    assert checkpoints
    assert {one["parent"] for one in checkpoints} == {attempt["id"]}
    commits = found.of("POST /v1/attempts/{attempt_id}/checkpoints")
    assert {one["parent"] for one in commits} == {one["id"] for one in checkpoints}
    assert {(one["service"], one["trace"]) for one in commits} == {("baton-service", attempt["trace"])}
    (finish,) = found.of("POST /v1/attempts/{attempt_id}/finish")
    assert finish["parent"] == attempt["id"]
    (submitted,) = found.of("POST /v1/jobs")
    assert (submitted["http.response.status_code"], submitted["parent"]) == (201, "")
    assert TOKEN not in repr(found.spans)


def test_without_the_packages_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    problem = traces.set_up("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    assert problem is not None
    assert "http://collector:4318" in problem
    assert "baton-train[otel]" in problem
    with traces.span("anything", baton__x=1) as span:
        assert span.trace_id is None
    assert traces.carrier() == {}


def test_without_a_wish_nothing_is_imported() -> None:
    code = (
        "import sys; from baton.telemetry import traces; assert traces.set_up('x', {}) is None\n"
        "with traces.span('a'): traces.flush()\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
