"""A local HTTP server that receives the posts of Apprise's json:// targets. It can also misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.redis import free_port


@dataclass
class Listener:
    """`status`: the status that it sends. `hold`: it sends no response until this event is set."""

    port: int = field(default_factory=free_port)
    status: int = 200
    hold: threading.Event | None = None
    posts: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def url(self, path: str = "") -> str:
        """The URL for Apprise, with timeouts of 60 s. Apprise's default of 4 s may be too short on a busy machine."""
        return f"json://127.0.0.1:{self.port}/{path}{'&' if '?' in path else '?'}rto=60&cto=60"

    @property
    def titles(self) -> list[str]:
        """The titles of the received messages, in order."""
        return [post["title"] for post in self.posts]

    def start(self) -> Listener:
        """Begin to listen."""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if listener.hold is not None:
                    listener.hold.wait(60)
                listener.paths.append(self.path)
                if listener.status < 300:
                    listener.posts.append(json.loads(content))
                with contextlib.suppress(OSError):
                    self.send_response(listener.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening: connections are refused."""
        if self.hold is not None:
            self.hold.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextlib.contextmanager
def listening(**given: Any) -> Iterator[Listener]:
    """A listener that runs until the block ends."""
    listener = Listener(**given).start()
    try:
        yield listener
    finally:
        listener.stop()
