"""Claims of workers that name the store they use."""

from __future__ import annotations

from typing import Any

from baton.storage.identity import read_identity
from tests.service.helpers import Api, worker_info


def identity(api: Api) -> str:
    found = read_identity(api.services.store)
    assert found is not None
    return found


def worker_with(store: dict[str, Any] | None) -> dict[str, Any]:
    return {**worker_info("w9"), "store": store}


def claim(api: Api, attempt_id: str, store: dict[str, Any] | None) -> Any:
    body = {"claim_id": "c" * 32, "worker": worker_with(store)}
    return api.http.post(f"/v1/attempts/{attempt_id}/claim", json=body)
