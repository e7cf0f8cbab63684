"""A job in the SDK: the data from the service, with methods for the calls about this job. Asynchronous.

Generated from baton/client/job.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from baton.domain.series import SeriesView
from baton.domain.views import EventView, JobPage, JobView
from baton.domain.wire import EpochRow

if TYPE_CHECKING:
    from baton.client.aio.client import AsyncClient


class AsyncJob(JobView):
    """The state of a job at the time of the request, with the fields of `baton.domain.views.JobView`.

    Each method makes a new request. The object itself does not change: `refresh` returns the current state.
    """

    _client: Any = PrivateAttr(default=None)

    def of(self, client: AsyncClient) -> Self:
        """Sets the client for further requests, and returns this job."""
        self._client = client
        return self

    async def refresh(self) -> AsyncJob:
        """The current state of the job."""
        return await self._calls.job(self.id)

    async def wait(self, *, timeout: float | None = None) -> AsyncJob:
        """Waits until the job has ended: succeeded, failed or cancelled. See `AsyncClient.wait`."""
        return await self._calls.wait(self.id, timeout=timeout)

    async def follow(self, *, timeout: float | None = None) -> AsyncIterator[AsyncJob]:
        """Yields the job now and at each change, until it has ended. See `AsyncClient.follow`."""
        async for one in self._calls.follow(self.id, timeout=timeout):
            yield one

    async def pause(self) -> AsyncJob:
        """Asks for a pause: the job saves its state and releases its worker."""
        return await self._calls.pause(self.id)

    async def resume(self) -> AsyncJob:
        """Queues a paused job again. It continues from its last checkpoint."""
        return await self._calls.resume(self.id)

    async def cancel(self) -> AsyncJob:
        """Ends the job. Only `retry` continues it."""
        return await self._calls.cancel(self.id)

    async def retry(self) -> AsyncJob:
        """Queues the job again after it failed or was cancelled. It continues from its last good checkpoint."""
        return await self._calls.retry(self.id)

    async def clone(self, overrides: Mapping[str, object] | None = None, *, name: str | None = None) -> AsyncJob:
        """Submits the spec of this job again. See `AsyncClient.submit_clone`."""
        return await self._calls.submit_clone(self.id, overrides, name=name)

    async def start_from(
        self,
        checkpoint: str | int = "latest",
        overrides: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
    ) -> AsyncJob:
        """Submits a job that starts from a checkpoint of this one. See `AsyncClient.submit_from`."""
        return await self._calls.submit_from(self.id, checkpoint, overrides, name=name)

    async def delete(self, *, force: bool = False) -> None:
        """Deletes the job with all its rows and objects. See `AsyncClient.delete`."""
        await self._calls.delete(self.id, force=force)

    async def change(self, **changes: Any) -> AsyncJob:
        """Changes name, labels, notes, priority and more. See `AsyncClient.change`."""
        return await self._calls.change(self.id, changes)

    async def history(self) -> list[EpochRow]:
        """The history: one row for each finished epoch, in order."""
        return await self._calls.history(self.id)

    async def series(self, *names: str, points: int = 500) -> list[SeriesView]:
        """The series: metrics by step, and the system metrics of the workers. See `AsyncClient.series`."""
        return await self._calls.series(self.id, *names, points=points)

    async def event_log(self) -> list[EventView]:
        """The events of the job, oldest first."""
        return await self._calls.events(self.id)

    async def download(self, name: str, target: Path | str) -> Path:
        """Writes an artifact, such as `best.keras`, to the file `target`. See `AsyncClient.download`."""
        return await self._calls.download(self.id, name, Path(target))

    @property
    def _calls(self) -> AsyncClient:
        client: AsyncClient | None = self._client
        if client is None:
            raise RuntimeError("this job has no client: get it with AsyncClient(...).job(id)")
        return client


class AsyncJobs(JobPage):
    """A page of jobs, newest first. `next_cursor` is None on the last page."""

    items: list[AsyncJob]  # type: ignore[assignment]  # narrower, and only ever read

    def of(self, client: AsyncClient) -> Self:
        """Sets the client of all its jobs, and returns this page."""
        for job in self.items:
            job.of(client)
        return self
