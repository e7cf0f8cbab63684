"""Calls of the Python SDK about usage, costs and the order of the queue. Asynchronous.

Generated from baton/client/usage.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from datetime import date

from baton.client.aio.transport import Transport
from baton.domain.usage_views import UsageView, WaitingList


class UsageCalls:
    """The calls about usage. They need the scope read. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def usage(
        self,
        by: str = "project",
        *,
        since: date | None = None,
        until: date | None = None,
        project: str | None = None,
        limit: int = 100,
    ) -> UsageView:
        """What was used and what it cost, by `project`, `owner`, `job`, `device`, `month` or `day`.

        `since`, `until`: days in UTC, both included; left out: the last 30 days, by month the last 12 months. `limit`:
        of items, at most 1000; the total has all.
        """
        params = {"by": by, "since": since, "until": until, "project": project, "limit": limit}
        answer = await self._transport.request("GET", "/v1/usage", params=params)
        return UsageView.model_validate(answer.json())

    async def waiting(self, *, queue: str | None = None, limit: int = 100) -> WaitingList:
        """The waiting jobs in the order in which workers get them, and why each of them waits."""
        answer = await self._transport.request("GET", "/v1/queue", params={"queue": queue, "limit": limit})
        return WaitingList.model_validate(answer.json())
