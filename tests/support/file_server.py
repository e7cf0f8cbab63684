"""A local HTTP server with one file. It can misbehave in the ways in which servers of files do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What the server sends, and how. Each entry of a script applies to one request, in order; after that, whole files
    are sent.

    `breaks`: the number of bytes of the body after which each response ends, None: it does not break. `statuses`: sent
    instead of the file. `ranges`, `tagged`, `sized`: whether it supports Range, sends an ETag, sends a length. `blind`:
    it
    sends a range whatever If-Range says. `stalls`: it sends the head and half of the body, then nothing until
    `released`.
    """

    content: bytes
    breaks: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    tagged: bool = True
    sized: bool = True
    blind: bool = False
    stalls: bool = False
    redirect: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    halfway: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    @property
    def url(self) -> str:
        """The URL of the file."""
        return f"http://127.0.0.1:{self.port}/data.zip"

    @property
    def tag(self) -> str:
        """An ETag that depends on the content."""
        return f'"{hash(self.content) & 0xFFFFFFFF:x}"'

    @property
    def starts(self) -> list[int]:
        """The first byte that each request asked for."""
        return [int(re.sub(r"\D", "", asked.get("range", "0"))) for asked in self.asked]

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        """Respond to one GET."""
        with self.lock:
            self.asked.append({name.lower(): value for name, value in to.headers.items()})
            status = self.statuses.pop(0) if self.statuses else 0
            cut = self.breaks.pop(0) if self.breaks else None
            if self.contents:
                self.content = self.contents.pop(0)
            content, tag = self.content, self.tag
        if status:
            self._send(to, status, {"Content-Length": "0", **self.headers})
            return
        if self.redirect and to.path != "/moved":
            self._send(to, 302, {"Location": "/moved", "Content-Length": "0"})
            return
        self._send_file(to, content, tag, cut)

    def _send_file(self, to: BaseHTTPRequestHandler, content: bytes, tag: str, cut: int | None) -> None:
        start, status, headers = self._start(to, content, tag), 200, {}
        if start is not None:
            if start >= len(content):
                self._send(to, 416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            status, headers = 206, {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start or 0 :]
        if self.sized:
            headers["Content-Length"] = str(len(body))
        if self.tagged:
            headers["ETag"] = tag
        self._send(to, status, headers)
        self._body(to, body, cut)

    def _start(self, to: BaseHTTPRequestHandler, content: bytes, tag: str) -> int | None:
        wanted = to.headers.get("Range")
        if wanted is None or not self.ranges:
            return None
        if not self.blind and to.headers.get("If-Range") not in (None, tag):
            return None
        return int(re.sub(r"\D", "", wanted))

    def _body(self, to: BaseHTTPRequestHandler, body: bytes, cut: int | None) -> None:
        if self.stalls:
            to.wfile.write(body[: len(body) // 2])
            to.wfile.flush()
            self.halfway.set()
            self.released.wait(3600)
            return
        to.wfile.write(body[:cut])

    def _send(self, to: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name, value)
        to.send_header("Connection", "close")
        to.end_headers()


@contextmanager
def serving(content: bytes, **habits: Any) -> Iterator[FileServer]:
    """A server in threads of this process."""
    made = FileServer(content, **habits)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        server.server_close()
