"""An HTTP proxy in front of the emulator. It fails on demand, as networks and Google's servers do."""

import contextlib
import http.client
import json
import re
import threading
from collections.abc import Callable, Collection, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

DROP_ANSWER = -1  # the request arrives, its response is lost
FLIP_BYTE = -2  # the body of the response arrives with its first byte changed
CUT_BODY = -3  # the connection is cut in the middle of the response's body


class FlakyProxy(ThreadingHTTPServer):
    """Forwards to `upstream`. Each planned fault applies to the next request about objects with its method.

    `left_out`: fields that are removed from all JSON responses. An entry like "size=0" removes a field with this value.
    `ignored`: the beginnings of names of request headers, in lower case, that are not forwarded.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.host = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[str] = []
        self.before: Callable[[str], None] = lambda method: None
        self.left_out: Collection[str] = ()
        self.ignored: tuple[str, ...] = ()
        self._faults: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def plan(self, method: str, *faults: int) -> None:
        """Plan faults for the next requests with this method: an HTTP status, a constant of this module, or 0 for
        no fault.
        """
        self._faults[method] = list(faults)

    def left(self, method: str) -> int:
        """The number of planned faults that have not happened yet."""
        return len(self._faults.get(method, []))

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore closed connections, because these tests close them on purpose."""

    def next_fault(self, method: str) -> int:
        with self._lock:
            self.seen.append(method)
            planned = self._faults.get(method)
            return planned.pop(0) if planned else 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FlakyProxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self._fault()
        if fault > 0:
            return self._answer(fault, {}, b"planned")
        status, headers, answer = self._forwarded(body)
        if fault == DROP_ANSWER:
            self.close_connection = True
            return None
        return self._answer(status, headers, answer, fault)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # every method is forwarded in the same way
            return self._handle
        raise AttributeError(name)

    def _fault(self) -> int:
        if re.search(r"/b/[^/?]+(\?|$)", self.path):
            return 0  # a thread of the library requests the bucket's metadata at any time
        self.server.before(self.command)
        return self.server.next_fault(self.command)

    def _forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.server.upstream).netloc, timeout=10)) as line:
            ignored = self.server.ignored
            sent = {k: v for k, v in self.headers.items() if not k.lower().startswith(ignored)}
            line.request(self.command, self.path, body, sent)
            answer = line.getresponse()
            # the session of a resumable upload must use this proxy too
            headers = {k: v.replace(self.server.upstream, self.server.host) for k, v in answer.getheaders()}
            return answer.status, headers, self._thinned(headers, answer.read())

    def _thinned(self, headers: dict[str, str], body: bytes) -> bytes:
        kind = next((value for key, value in headers.items() if key.lower() == "content-type"), "")
        if not self.server.left_out or not kind.startswith("application/json") or not body:
            return body
        return json.dumps(_without(json.loads(body), self.server.left_out)).encode()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: int = 0) -> None:
        if fault == FLIP_BYTE:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(status)
        for key, value in headers.items():
            if key.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(key, value)
        length = next((value for key, value in headers.items() if key.lower() == "content-length"), "0")
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":  # an answer to HEAD has no body, even if the proxy makes the answer
            self.wfile.write(body[: len(body) // 2] if fault == CUT_BODY else body)
        self.close_connection = self.close_connection or fault == CUT_BODY

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, so that the output of the tests stays readable."""


def _without(found: Any, fields: Collection[str]) -> Any:
    if isinstance(found, list):
        return [_without(one, fields) for one in found]
    if not isinstance(found, dict):
        return found
    kept = {key: value for key, value in found.items() if key not in fields and f"{key}={value}" not in fields}
    return {key: _without(value, fields) for key, value in kept.items()}


@contextlib.contextmanager
def flaky_proxy(upstream: str) -> Iterator[FlakyProxy]:
    """Run a proxy in front of `upstream` until the block ends."""
    proxy = FlakyProxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
