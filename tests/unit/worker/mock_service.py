"""A client whose requests are answered by a function."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from worker.api_client.client import ServiceClient


def speaking_to(answer: Callable[[httpx.Request], httpx.Response]) -> ServiceClient:
    made = ServiceClient("http://service", "own")
    headers = dict(made._http.headers)
    made.close()
    made._http = httpx.Client(base_url="http://service/v1", headers=headers, transport=httpx.MockTransport(answer))
    return made
