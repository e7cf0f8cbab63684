"""Calls of the Python SDK that list jobs, and the events of all jobs. Asynchronous.

Generated from baton/client/job_lists.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Unpack, cast
from urllib.parse import quote

from baton.client.aio.job import AsyncJob, AsyncJobs
from baton.client.aio.streams import Outage, follow_feed
from baton.client.aio.transport import Transport
from baton.client.errors import Unreachable
from baton.client.job_filters import JobFilters, query
from baton.client.job_lists import FEED_PAGE, PAGE
from baton.client.streams import OUTAGE
from baton.domain.views import FeedEvent, FeedPage, JobSummary, JobSummaryPage

if TYPE_CHECKING:
    from baton.client.aio.client import AsyncClient


class JobListCalls:
    """The calls that list jobs and events. Their filters are those of `JobFilters`. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def jobs(self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[JobFilters]) -> AsyncJobs:
        """A page of jobs, newest first. A page with `next_cursor` may have fewer jobs than `limit`."""
        return await self._jobs("/v1/jobs", query(filters, limit=limit, cursor=cursor))

    async def all_jobs(self, **filters: Unpack[JobFilters]) -> AsyncIterator[AsyncJob]:
        """Yields the jobs that match all filters, newest first. Loads them page by page."""
        async for one in self._job_pages("/v1/jobs", query(filters, limit=PAGE)):
            yield one

    async def summaries(self, **filters: Unpack[JobFilters]) -> AsyncIterator[JobSummary]:
        """As `all_jobs`, but without the specs, which makes the answers much smaller."""
        cursor: str | None = None
        while True:
            params = query(filters, limit=PAGE, cursor=cursor, view="summary")
            answer = await self._transport.request("GET", "/v1/jobs", params=params)
            page = JobSummaryPage.model_validate_json(answer.content)
            for one in page.items:
                yield one
            cursor = page.next_cursor
            if cursor is None:
                return

    async def children(self, job_id: str) -> AsyncIterator[AsyncJob]:
        """Yields the jobs that were made from this one, newest first. Loads them page by page."""
        async for one in self._job_pages(f"/v1/jobs/{quote(job_id, safe='')}/children", {"limit": PAGE}):
            yield one

    async def all_events(self, *, after: int = 0) -> AsyncIterator[FeedEvent]:
        """Yields the events of all jobs after the number `after`, oldest first, up to the newest."""
        cursor: str | None = None
        while True:
            params = {"after": after, "limit": FEED_PAGE, "cursor": cursor}
            page = FeedPage.model_validate_json(
                (await self._transport.request("GET", "/v1/events", params=params)).content
            )
            for one in page.items:
                yield one
            cursor = page.next_cursor
            if cursor is None:
                return

    async def all_events_stream(
        self,
        *,
        after: int | None = None,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> AsyncIterator[FeedEvent]:
        """Yields the events of all jobs as they happen, without an end. Each comes once, also after a lost connection.

        `after`: begin after the event with this number; None: only new events. `on_outage`: called with the error when
        the service is unavailable, before each retry.

        Raises:
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        async for one in follow_feed(self._transport, after, Outage(outage, on_outage)):
            yield one

    async def _jobs(self, path: str, params: dict[str, Any]) -> AsyncJobs:
        answer = await self._transport.request("GET", path, params=params)
        return AsyncJobs.model_validate_json(answer.content).of(cast("AsyncClient", self))

    async def _job_pages(self, path: str, params: dict[str, Any]) -> AsyncIterator[AsyncJob]:
        cursor: str | None = None
        while True:
            page = await self._jobs(path, {**params, "cursor": cursor})
            for one in page.items:
                yield one
            cursor = page.next_cursor
            if cursor is None:
                return
