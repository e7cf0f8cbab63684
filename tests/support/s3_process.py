"""Runs moto's S3 server with conditional writes that are atomic. Not imported: `python -P s3_process.py PORT`.

moto checks If-None-Match and If-Match and then writes, but takes no lock. So two of several concurrent writers could
succeed, which S3 services exclude. This server handles requests with a condition one after another.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream

_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")


class AtomicConditions:
    """A WSGI application that handles one conditional request at a time, but reads request bodies concurrently."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request, as WSGI defines."""
        if not any(name in environ for name in _CONDITIONS):
            return self._application(environ, start_response)  # type: ignore[no-any-return]
        environ["wsgi.input"] = io.BytesIO(get_input_stream(environ).read())
        with self._lock:
            return list(self._application(environ, start_response))


if __name__ == "__main__":
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        AtomicConditions(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
    )
