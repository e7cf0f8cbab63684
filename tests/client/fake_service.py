"""A small HTTP service with the responses of Baton's. Tests can make it misbehave."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import google_crc32c

TOKEN = "a-token"
NOW = "2026-01-02T03:04:05Z"
SERIES_CSV = b"name,step,value,at\nloss,0,2.0,1800000000.0\n"


def progress(step: int = 50) -> dict[str, Any]:
    return {
        "stage": 2, "stages": 4, "epoch": 6, "epochs": 15, "step": step % 20, "steps": 20, "global_step": step,
        "total_steps": 300, "images_per_second": 512.0, "eta_seconds": 75.0, "fraction": step / 300,
    }  # fmt: skip


def job(job_id: str, name: str = "digits-demo", **changes: Any) -> dict[str, Any]:
    base = {
        "id": job_id, "name": name, "status": "running", "reason": None, "message": None, "version": 1,
        "queue": "default", "priority": "normal", "created_at": NOW, "started_at": NOW, "finished_at": None,
        "labels": {}, "spec": {"name": name}, "progress": progress(), "metrics": {"loss": 0.5, "val_loss": 0.6},
        "results": {}, "best": None, "attempts": 1, "preemptions": 0, "failures": 0, "checkpoint": None,
        "worker": "worker-1", "phase": "training", "goodput": {},
    }  # fmt: skip
    return {**base, **changes}


def epoch(number: int, **changes: Any) -> dict[str, Any]:
    base = {
        "epoch": number, "stage": 1, "stage_epoch": number, "global_step": number * 20, "image_size": 16,
        "batch_size": 64, "learning_rate": 1e-3, "loss": 1.5 / number, "accuracy": 0.9, "val_loss": 1.6 / number,
        "val_accuracy": 0.88, "attempt": 1, "seconds": 2.5, "images_per_second": 500.0, "finished_at": NOW,
    }  # fmt: skip
    return {**base, **changes}


def attempt(number: int, state: str, start: int | None, **changes: Any) -> dict[str, Any]:
    base = {
        "id": f"a{number}", "attempt": number, "state": state, "fence": number, "worker": "worker-1", "reason": None,
        "message": None, "created_at": NOW, "claimed_at": NOW, "finished_at": None, "lease_expires_at": None,
        "start_step": start, "end_step": None,
    }  # fmt: skip
    return {**base, **changes}


def series(name: str, **changes: Any) -> dict[str, Any]:
    base = {
        "name": name, "count": 3, "width": 1, "first_step": 0, "last_step": 40, "last": 0.5, "last_at": 1.8e9,
        "minimum": 0.25, "maximum": 2.0, "points": [],
    }  # fmt: skip
    return {**base, **changes}


def worker(name: str, **changes: Any) -> dict[str, Any]:
    base = {
        "name": name, "host": "here", "pid": 1, "version": "1", "device": "cpu", "queues": ["default"],
        "extensions": [], "state": "idle", "job_id": None, "last_seen_at": NOW,
    }  # fmt: skip
    return {**base, **changes}


def problem(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {
        "type": "urn:baton:problem:no", "title": "No", "status": status, "detail": detail, "code": "no",
        "errors": errors or [],
    }  # fmt: skip


class FakeService:
    """The state that tests set, and the requests that they read."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.damaged: set[str] = set()
        self.stories: dict[str, list[dict[str, Any]]] = {}
        self.keys: dict[str, str] = {}
        self.cuts: list[int] = []
        self.logs: dict[str, bytes] = {}
        self.log_step = 1 << 20
        self.requests: list[tuple[str, str, Any]] = []
        self.bulk: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.failures: list[tuple[int, dict[str, str]]] = []
        self.drop_after_submit = 0
        self.foreign = 0
        self.link_expired = False
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stopped(self) -> bool:
        return self._server is None

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def listing(self, path: str) -> list[dict[str, Any]]:
        if path.endswith("/artifacts"):
            return [self._artifact(name, content) for name, content in self.files.items()]
        return self.lists.get(path.rpartition("/")[2], [])

    def _artifact(self, name: str, content: bytes) -> dict[str, Any]:
        crc = f"{google_crc32c.value(content):08x}"
        return {
            "name": name,
            "size": len(content),
            "crc32c": crc,
            "content_type": "x/y",
            "committed_at": NOW,
            "url": "",
        }

    def submit(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        if body.get("name") == "bad":
            return 422, problem(422, "the spec is not right", [{"field": "stages.0.epochs", "message": "at least 1"}])
        if key in self.keys:
            return 200, self.jobs[self.keys[key]]
        made = job(f"{len(self.jobs):08x}" + "0" * 24, body.get("name") or body.get("plan", "made"))
        self.keys[key] = made["id"]
        self.jobs[made["id"]] = made
        return 201, made

    def show(self, job_id: str) -> tuple[int, dict[str, Any]]:
        if job_id not in self.jobs:
            return 404, problem(404, "no such job")
        if self.stories.get(job_id):
            self.jobs[job_id] = self.stories[job_id].pop(0)
        return 200, self.jobs[job_id]

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        wanted = [j for j in reversed(self.jobs.values()) if j["status"] in query.get("status", [j["status"]])]
        wanted = [j for j in wanted if query.get("name", [j["name"]])[0] == j["name"]]
        wanted = [j for j in wanted if j["id"].startswith(query.get("id", [""])[0])]
        labels = {tuple(one.split(":")) for one in query.get("label", ())}
        wanted = [j for j in wanted if labels <= set(j["labels"].items())]
        first = int(query.get("cursor", ["0"])[0])
        return {"items": wanted[first : first + 2], "next_cursor": str(first + 2) if wanted[first + 2 :] else None}


class _Handler(BaseHTTPRequestHandler):
    fake: FakeService
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle(None)

    def do_DELETE(self) -> None:
        self._handle(None)

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._handle(json.loads(self.rfile.read(length) or b"null"))

    def _handle(self, body: Any) -> None:
        url = urlparse(self.path)
        self.fake.requests.append((self.command, self.path, body))
        if self.fake.stopped:
            self.close_connection = True
            return None
        if self.fake.foreign or url.path == "/bucket":
            return self._raw(self.fake.foreign or 403, b"<html>nothing here</html>", {"Content-Type": "text/html"})
        if self.fake.failures:
            status, headers = self.fake.failures.pop(0)
            return self._send(status, problem(status, "told to fail"), headers)
        if url.path in {"/healthz", "/readyz", "/v1/plans"}:
            checks = {"database": "ok", "redis": "ok", "store": "ok"}
            return self._send(200, {"status": "ok", "checks": checks, "items": self.fake.lists.get("plans", [])})
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._send(401, problem(401, "this token is not known"))
        return self._route(url.path, parse_qs(url.query), body)

    def _route(self, path: str, query: dict[str, list[str]], body: Any) -> None:
        parts = path.strip("/").split("/")
        if path == "/v1/session":
            self._send(200, {"name": "user", "scopes": ["read", "submit"], "expires_at": None, "csrf": None})
        elif path == "/v1/jobs:bulk" or self.command == "PATCH":
            self._send(200, self.fake.bulk.pop(0) if self.command == "POST" else self.fake.jobs[parts[2]])
        elif path == "/v1/jobs":
            self._jobs(query, body)
        elif path == "/v1/prune" or self.command == "DELETE":
            self._remove(parts, query)
        elif len(parts) == 3:
            self._send(*self.fake.show(parts[2]))
        elif self.command == "POST":
            self._steer(parts[2], parts[3])
        elif len(parts) == 5:
            self._file(parts[4])
        elif len(parts) == 6:
            self._log(self.fake.logs.get(parts[4]), int(query["offset"][0]))
        elif self.headers["Accept"] == "text/event-stream":
            self._stream(int(self.headers["Last-Event-ID"]), ended=self.fake.jobs[parts[2]]["status"] == "succeeded")
        else:
            self._list(path)

    def _list(self, path: str) -> None:
        if self.headers["Accept"] == "text/csv":
            return self._raw(200, SERIES_CSV, {"Content-Type": "text/csv; charset=utf-8"})
        items = {"items": self.fake.listing(path), "next_after": None}
        return self._send(200, self.fake.answers.get(path, items))

    def _jobs(self, query: dict[str, list[str]], body: Any) -> None:
        if self.command == "POST":
            self._submit(body)
        else:
            self._send(200, self.fake.page(query))

    def _stream(self, last: int, ended: bool) -> None:
        events = [event for event in self.fake.lists.get("events", []) if event["sequence"] > last]
        if ended and not events:
            return self._raw(204, b"", {})
        text = ": hello\n\n" + "".join(
            f"event: {e['kind']}\ndata: {json.dumps(e, ensure_ascii=False)}\nid: {e['sequence']}\n\n" for e in events
        )
        end = 'event: end\ndata: {"status": "succeeded"}\n\n' if ended else ""
        content = (text + end).encode()
        cut = self.fake.cuts.pop(0) if self.fake.cuts else len(content)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(content[:cut])
        self.close_connection = True
        return None

    def _log(self, content: bytes | None, offset: int) -> None:
        if content is None:
            return self._send(404, problem(404, "the job has no such attempt"))
        end = min(offset + self.fake.log_step, len(content))
        complete = "true" if end == len(content) else "false"
        self._raw(200, content[offset:end], {"Baton-Next-Offset": str(end), "Baton-Complete": complete})
        return None

    def _submit(self, body: Any) -> None:
        answer = self.fake.submit(body, self.headers["Idempotency-Key"])
        if self.fake.drop_after_submit:
            self.fake.drop_after_submit -= 1
            self.close_connection = True
            return None
        return self._send(*answer)

    def _remove(self, parts: list[str], query: dict[str, list[str]]) -> None:
        if parts[1] == "prune":
            return self._send(200, {"dry_run": "dry_run" in query, "items": self.fake.lists.get("prune", [])})
        job_id, forced = parts[2], "force" in query
        if job_id not in self.fake.jobs:
            return self._send(404, problem(404, "no such job"))
        if self.fake.jobs[job_id]["status"] == "running" and not forced:
            return self._send(409, problem(409, "the job is running: give force=true"))
        return self._send(202, self.fake.jobs.pop(job_id))

    def _steer(self, job_id: str, action: str) -> None:
        found = self.fake.jobs[job_id]
        if found["status"] == "succeeded":
            return self._send(409, problem(409, "the job is succeeded: pause is not possible now"))
        return self._send(202, {**found, "status": {"pause": "pausing", "cancel": "cancelling"}.get(action, "queued")})

    def _file(self, name: str) -> None:
        if self.fake.link_expired:
            return self._raw(307, b"", {"Location": "/bucket"})
        content = self.fake.files[name]
        if name in self.fake.damaged:
            content = base64.b64encode(content)
        return self._raw(200, content, {})

    def _send(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        kind = "application/json" if status < 400 else "application/problem+json"
        self._raw(status, json.dumps(data).encode(), {"Content-Type": kind, **(headers or {})})

    def _raw(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
