"""Error responses of a service, for tests of clients."""

from __future__ import annotations

import httpx

from baton.domain.http_problems import PROBLEM, TYPE


def refusal(status: int, code: str, detail: str = "no") -> httpx.Response:
    """A response with an error body (problem document) as the service writes it."""
    body = {"type": TYPE + code, "title": "No", "status": status, "detail": detail, "code": code}
    return httpx.Response(status, json=body, headers={"Content-Type": PROBLEM})
