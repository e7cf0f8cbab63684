"""A browser that keeps cookies and sends the headers of its page."""

from __future__ import annotations

from typing import Any

import httpx

from tests.service.helpers import Api
from tests.support.service import TOKEN
from tests.support.service_client import another_client


class Browser:
    """An HTTP client that keeps cookies and sends the headers by which a browser identifies the page of a request."""

    def __init__(self, api: Api, url: str = "http://testserver") -> None:
        self.http = another_client(api.http, base_url=url)
        self.csrf = ""

    def log_in(self, token: str = TOKEN, site: str = "same-origin") -> httpx.Response:
        answer = self.http.post("/v1/session", json={"token": token}, headers={"Sec-Fetch-Site": site})
        self.csrf = answer.json().get("csrf") or ""
        return answer

    def get(self, path: str = "/v1/jobs", **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def post(self, path: str, body: Any = None, site: str = "same-origin", csrf: str | None = None) -> httpx.Response:
        headers = {"Sec-Fetch-Site": site, "Baton-CSRF": self.csrf if csrf is None else csrf}
        return self.http.post(path, json=body, headers=headers)
