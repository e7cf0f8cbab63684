"""The path prefix under which a proxy publishes the service, e.g. /baton for https://host/baton."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_OWN = frozenset(
    {
        "assets", "compare", "docs", "healthz", "jobs", "metrics", "openapi.json", "queue", "readyz", "submit", "usage",
        "v1", "workers",
    }
)  # fmt: skip
"""First segments of the service's own paths."""


def checked_root_path(text: str) -> str:
    """The prefix without a slash at its end; empty for `/`. Raises ValueError.

    >>> checked_root_path("/tools/baton/"), checked_root_path("/")
    ('/tools/baton', '')
    """
    path = text.rstrip("/")
    if not path:
        return ""
    parts = path.split("/")[1:]
    if not _PREFIX.fullmatch(path) or {".", ".."} & set(parts):
        raise ValueError(f"has the path {text[:100]!r}, which is not /letters-and-digits, possibly several times")
    if parts[0] in _OWN:
        raise ValueError(f"has a path that begins with /{parts[0]}, which is a path of the service itself")
    return path


def root_path_of(url: str) -> str:
    """The prefix in an address of the service. Raises ValueError.

    >>> root_path_of("https://host/baton/"), root_path_of("https://host")
    ('/baton', '')
    """
    return checked_root_path(urlsplit(url).path)


class RootPath:
    """ASGI middleware: puts the prefix into `root_path` of the scope, and removes it from `path` if it is still there.

    So the proxy may keep or remove the prefix, and requests that bypass the proxy need no prefix. This is unambiguous,
    because no path of the service begins with a prefix that `checked_root_path` accepts. Routes, logs and metrics get
    the same path in all cases. Answers take the prefix of their links from `root_path`.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            path: str = scope["path"]
            scope["root_path"] = self._prefix
            if path == self._prefix or path.startswith(f"{self._prefix}/"):
                scope["path"] = path[len(self._prefix) :] or "/"
        await self._app(scope, receive, send)
