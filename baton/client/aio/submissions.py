"""Calls of the Python SDK that submit jobs. Asynchronous.

Generated from baton/client/submissions.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from baton.client.aio.job import AsyncJob
from baton.client.aio.transport import Transport

if TYPE_CHECKING:
    from baton.client.aio.client import AsyncClient


class SubmissionCalls:
    """The calls that submit jobs. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    @property
    def _client(self) -> AsyncClient:
        return cast("AsyncClient", self)

    async def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> AsyncJob:
        """Submits a job spec, and returns the job in the state `queued`.

        `idempotency_key`: a repeated call with the same key and spec returns the same job; by default each call has a
        new key.

        Raises:
            ApiError: status 422 if the spec is invalid; `problem.errors` lists the wrong fields.
        """
        return await self._submit(dict(spec), idempotency_key)

    async def submit_plan(
        self, plan: str, overrides: Mapping[str, object] | None = None, *, idempotency_key: str | None = None
    ) -> AsyncJob:
        """Submits a published plan. `overrides`: changed fields by dotted path, e.g. `{"stages.0.epochs": 2}`."""
        return await self._submit({"plan": plan, "set": dict(overrides or {})}, idempotency_key)

    async def submit_clone(
        self,
        job_id: str,
        overrides: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJob:
        """Submits the spec of another job again. `overrides`: as for `submit_plan`.

        `name`: the name of the new job. None: the name of the other job.
        """
        body = {"clone": job_id, "set": dict(overrides or {}), "name": name}
        return await self._submit(body, idempotency_key)

    async def submit_from(
        self,
        job_id: str,
        checkpoint: str | int = "latest",
        overrides: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJob:
        """Submits a job that starts from a checkpoint of another job: `latest`, `best`, or the one at a global step.

        `overrides`: changes to the spec of the other job, as for `submit_plan`. `name`: the name of the new job. None:
        the name of the other job.

        Raises:
            ApiError: status 422 if there is no such checkpoint, or if it has another network.
        """
        start = {"job": job_id, "checkpoint": checkpoint}
        return await self._submit({"from": start, "set": dict(overrides or {}), "name": name}, idempotency_key)

    async def _submit(self, body: dict[str, Any], key: str | None) -> AsyncJob:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = await self._transport.request("POST", "/v1/jobs", json=body, headers=headers)
        return AsyncJob.model_validate_json(answer.content).of(self._client)
