"""Reads the audit log."""

from __future__ import annotations

from typing import Any

from tests.service.helpers import Api


def lines(api: Api, **params: Any) -> list[dict[str, Any]]:
    answer = api.http.get("/v1/audit", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])
