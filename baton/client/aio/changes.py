"""Calls of the Python SDK that change jobs: one job by a patch, or many jobs by one call. Asynchronous.

Generated from baton/client/changes.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from baton.client.aio.job import AsyncJob
from baton.client.aio.transport import Transport
from baton.client.changes import BULK, REASONS
from baton.client.transport import RetryPolicy
from baton.domain.bulk_views import BulkPreview, BulkView

if TYPE_CHECKING:
    from baton.client.aio.client import AsyncClient


class ChangeCalls:
    """The calls that change jobs. They need the scope submit. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def change(self, job_id: str, changes: Mapping[str, Any], *, version: int | None = None) -> AsyncJob:
        """Changes name, labels, notes, priority, protected, limits, notify, checkpoint or retry of a job.

        `changes`: a JSON merge patch: None removes a label or restores a default. `version`: the change is made only if
        the job still has this version.

        Raises:
            ApiError: status 422 if a field cannot be changed; status 412 if the job has another version.
        """
        headers = {} if version is None else {"If-Match": f'W/"{version}"'}
        answer = await self._transport.request(
            "PATCH", f"/v1/jobs/{quote(job_id, safe='')}", json=changes, headers=headers
        )
        return AsyncJob.model_validate_json(answer.content).of(cast("AsyncClient", self))

    async def preview_jobs(
        self, action: str, which: Mapping[str, Any], *, labels: Mapping[str, str | None] | None = None
    ) -> BulkPreview:
        """How many jobs `act_on_jobs` would change with the same arguments, and the first of them."""
        body = {"action": action, "preview": True, **which, **({"labels": dict(labels)} if labels else {})}
        return (await self._bulk(body)).preview or BulkPreview(number=0, more=False, jobs=[])

    async def act_on_jobs(
        self,
        action: str,
        which: Mapping[str, Any],
        *,
        labels: Mapping[str, str | None] | None = None,
        expect: int | None = None,
    ) -> BulkView:
        """Does an action on many jobs, such as cancel, pause, resume or label, and returns the counts.

        `which`: `{"ids": [...]}`, `{"filter": {"status": [...], "label": ["key:value"], "name": "net-*"}}` or
        `{"all": True}`. `labels`: what the action `label` sets; None removes a label. `expect`: the number of jobs that
        a preview showed.

        Raises:
            ApiError: status 409 if another number of jobs than `expect` matches.
        """
        body = {"action": action, **which, **({"labels": dict(labels)} if labels else {}), "expect": expect}
        total = await self._bulk(body)
        while total.next_cursor is not None:
            part = await self._bulk({**body, "cursor": total.next_cursor})
            sums = {name: getattr(total, name) + getattr(part, name) for name in ("done", "unchanged", "skipped")}
            total = part.model_copy(update={**sums, "reasons": [*total.reasons, *part.reasons][:REASONS]})
        return total

    async def _bulk(self, body: Mapping[str, Any]) -> BulkView:
        # A repeated call changes nothing more.
        answer = await self._transport.request("POST", BULK, json=body, patience=RetryPolicy())
        return BulkView.model_validate_json(answer.content)
