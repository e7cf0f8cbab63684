"""Imitations of the clouds' metadata servers over real HTTP.

They are as strict as the real ones: headers, tokens, long polls, 404s.
"""

from __future__ import annotations

import json
import secrets
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

RESET = "reset"


class Cloud:
    """The state of a cloud's metadata server.

    `faults`: what happens to the next requests: a status as int, a delay in seconds as float, or RESET.
    """

    def __init__(self) -> None:
        self.faults: deque[int | float | str] = deque()
        self.asked: list[str] = []
        self.changed = threading.Condition()
        self.url = ""

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point all adapters to this server.

        Adapters of other clouds must detect that it is not theirs.
        """
        return {
            "GCE_METADATA_HOST": self.host,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
            "BATON_AZURE_METADATA": self.url,
        }

    def answer(self, request: Request) -> None:
        """Respond to one request."""
        raise NotImplementedError

    def give_notice(self, seconds: float) -> None:
        """Announce that the machine will be preempted."""
        raise NotImplementedError


class Request(BaseHTTPRequestHandler):
    """One request to a metadata server."""

    cloud: ClassVar[Cloud]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        self.route, self.query = split.path, {k: v[0] for k, v in parse_qs(split.query).items()}
        self.cloud.asked.append(f"{self.command} {self.path}")
        fault = self.cloud.faults.popleft() if self.cloud.faults else None
        if fault == RESET:
            linger = struct.pack("ii", 1, 0)  # close() then sends a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
        elif isinstance(fault, int):
            self.reply(fault, "out of order")
        else:
            time.sleep(fault or 0.0)
            self.cloud.answer(self)

    do_PUT = do_GET  # noqa: N815

    def reply(self, status: int, text: str = "", **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


class Gce(Cloud):
    """https://cloud.google.com/compute/docs/metadata/querying-metadata"""

    def __init__(self) -> None:
        super().__init__()
        self.values = {"preempted": "FALSE", "maintenance-event": "NONE"}
        self.versions = dict.fromkeys(self.values, 0)

    def set(self, key: str, value: str) -> None:
        with self.changed:
            self.values[key] = value
            self.versions[key] += 1
            self.changed.notify_all()

    def give_notice(self, seconds: float) -> None:
        self.set("preempted", "TRUE")

    def answer(self, request: Request) -> None:
        prefix, key = request.route.rsplit("/", 1)
        if prefix != "/computeMetadata/v1/instance" or key not in self.values:
            return request.reply(404, "not found")
        if request.headers.get("Metadata-Flavor") != "Google":
            return request.reply(403, "Missing Metadata-Flavor:Google header.")
        if request.query.get("wait_for_change") == "true":
            known = request.query.get("last_etag", self._etag(key))
            with self.changed:
                self.changed.wait_for(lambda: self._etag(key) != known, float(request.query.get("timeout_sec", "300")))
        return request.reply(200, self.values[key], ETag=self._etag(key), Metadata_Flavor="Google")

    def _etag(self, key: str) -> str:
        return f"{hash((key, self.versions[key])) & 0xFFFFFFFF:x}"


class Aws(Cloud):
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html, version 2."""

    def __init__(self, token_seconds: float | None = None) -> None:
        super().__init__()
        self.tokens: dict[str, float] = {}
        self.token_seconds = token_seconds
        self.items: dict[str, str] = {}

    def give_notice(self, seconds: float, action: str = "terminate") -> None:
        moment = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.items["spot/instance-action"] = json.dumps({"action": action, "time": moment})

    def recommend(self) -> None:
        self.items["events/recommendations/rebalance"] = json.dumps({"noticeTime": "2026-10-27T08:22:00Z"})

    def answer(self, request: Request) -> None:
        if request.command == "PUT":
            return self._token(request)
        if self.tokens.get(request.headers.get("X-aws-ec2-metadata-token", ""), 0.0) < time.monotonic():
            return request.reply(401, "Unauthorized")
        item = self.items.get(request.route.removeprefix("/latest/meta-data/"))
        return request.reply(404, "Not Found") if item is None else request.reply(200, item)

    def _token(self, request: Request) -> None:
        lifetime = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if request.route != "/latest/api/token":
            return request.reply(404)
        if not lifetime.isdigit() or not 1 <= int(lifetime) <= 21_600:
            return request.reply(400, "Bad Request")
        token = secrets.token_urlsafe(40)
        self.tokens[token] = time.monotonic() + (int(lifetime) if self.token_seconds is None else self.token_seconds)
        return request.reply(200, token)


class Azure(Cloud):
    """https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events"""

    def __init__(self, machine: str = "trainer_3") -> None:
        super().__init__()
        self.machine = machine
        self.events: list[dict[str, Any]] = []

    def schedule(self, kind: str, seconds: float | None, *machines: str) -> None:
        moment = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
        self.events.append(
            {
                "EventId": secrets.token_hex(16),
                "EventStatus": "Started" if moment is None else "Scheduled",
                "EventType": kind,
                "ResourceType": "VirtualMachine",
                "Resources": list(machines or (self.machine,)),
                "NotBefore": "" if moment is None else format_datetime(moment, usegmt=True),
                "Description": "",
                "EventSource": "Platform",
                "DurationInSeconds": -1,
            }
        )

    def give_notice(self, seconds: float) -> None:
        self.schedule("Preempt", seconds)

    def answer(self, request: Request) -> None:
        if request.headers.get("Metadata") != "true":
            return request.reply(400, "Bad request. Required metadata header not specified")
        if "api-version" not in request.query:
            return request.reply(400, "Bad request. api-version was not specified in the request")
        match request.route:
            case "/metadata/instance/compute/name" if request.query.get("format") == "text":
                return request.reply(200, self.machine)
            case "/metadata/scheduledevents":
                return request.reply(200, json.dumps({"DocumentIncarnation": 1, "Events": self.events}))
        return request.reply(404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of clients that closed their connection."""


@contextmanager
def serving(cloud: Cloud) -> Iterator[Cloud]:
    """Serve until the block ends."""
    handler = type("Handler", (Request,), {"cloud": cloud})
    server = _Server(("127.0.0.1", 0), handler)
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()
