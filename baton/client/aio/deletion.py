"""Calls of the Python SDK that delete jobs, and what retention deletes. Asynchronous.

Generated from baton/client/deletion.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from urllib.parse import quote

from baton.client.aio.transport import Transport
from baton.domain.retention import PruneView


class DeletionCalls:
    """The calls that delete. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def delete(self, job_id: str, *, force: bool = False) -> None:
        """Deletes an ended job with all its rows and objects. From now on no other call finds it.

        `force`: cancel a job that has not ended, and delete it after its end.

        Raises:
            ApiError: status 409 if the job has not ended and `force` is not set, 404 if it does not exist.
        """
        await self._transport.request("DELETE", f"/v1/jobs/{quote(job_id, safe='')}", params={"force": force or None})

    async def prune(self, *, dry_run: bool = False) -> PruneView:
        """Deletes what is older than the settings BATON_RETENTION_* of the service allow. Needs the scope admin.

        `dry_run`: only count what would be deleted.
        """
        answer = await self._transport.request("POST", "/v1/prune", params={"dry_run": dry_run or None})
        return PruneView.model_validate_json(answer.content)
