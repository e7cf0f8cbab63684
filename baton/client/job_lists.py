"""Calls of the Python SDK that list jobs, and the events of all jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Unpack, cast
from urllib.parse import quote

from baton.client.errors import Unreachable
from baton.client.job import Job, Jobs
from baton.client.job_filters import JobFilters, query
from baton.client.streams import OUTAGE, Outage, follow_feed
from baton.client.transport import Transport
from baton.domain.views import FeedEvent, FeedPage, JobSummary, JobSummaryPage

if TYPE_CHECKING:
    from baton.client.client import Client

PAGE = 100
FEED_PAGE = 1000


class JobListCalls:
    """The calls that list jobs and events. Their filters are those of `JobFilters`. Raise `Unreachable` and `ApiError`.

    >>> job = client.submit_plan("digits-demo", {"name": "found-1"})
    >>> [one.name for one in client.all_jobs(name="found-*", status=["queued", "running"], sort="-created")]
    ['found-1']
    """

    _transport: Transport

    def jobs(self, *, limit: int = 50, cursor: str | None = None, **filters: Unpack[JobFilters]) -> Jobs:
        """A page of jobs, newest first. A page with `next_cursor` may have fewer jobs than `limit`."""
        return self._jobs("/v1/jobs", query(filters, limit=limit, cursor=cursor))

    def all_jobs(self, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """Yields the jobs that match all filters, newest first. Loads them page by page."""
        yield from self._job_pages("/v1/jobs", query(filters, limit=PAGE))

    def summaries(self, **filters: Unpack[JobFilters]) -> Iterator[JobSummary]:
        """As `all_jobs`, but without the specs, which makes the answers much smaller."""
        cursor: str | None = None
        while True:
            params = query(filters, limit=PAGE, cursor=cursor, view="summary")
            answer = self._transport.request("GET", "/v1/jobs", params=params)
            page = JobSummaryPage.model_validate_json(answer.content)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def children(self, job_id: str) -> Iterator[Job]:
        """Yields the jobs that were made from this one, newest first. Loads them page by page."""
        yield from self._job_pages(f"/v1/jobs/{quote(job_id, safe='')}/children", {"limit": PAGE})

    def all_events(self, *, after: int = 0) -> Iterator[FeedEvent]:
        """Yields the events of all jobs after the number `after`, oldest first, up to the newest."""
        cursor: str | None = None
        while True:
            params = {"after": after, "limit": FEED_PAGE, "cursor": cursor}
            page = FeedPage.model_validate_json(self._transport.request("GET", "/v1/events", params=params).content)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def all_events_stream(
        self,
        *,
        after: int | None = None,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> Iterator[FeedEvent]:
        """Yields the events of all jobs as they happen, without an end. Each comes once, also after a lost connection.

        `after`: begin after the event with this number; None: only new events. `on_outage`: called with the error when
        the service is unavailable, before each retry.

        Raises:
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        yield from follow_feed(self._transport, after, Outage(outage, on_outage))

    def _jobs(self, path: str, params: dict[str, Any]) -> Jobs:
        answer = self._transport.request("GET", path, params=params)
        return Jobs.model_validate_json(answer.content).of(cast("Client", self))

    def _job_pages(self, path: str, params: dict[str, Any]) -> Iterator[Job]:
        cursor: str | None = None
        while True:
            page = self._jobs(path, {**params, "cursor": cursor})
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return
