"""A job in the SDK: the data from the service, with methods for the calls about this job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from baton.domain.series import SeriesView
from baton.domain.views import EventView, JobPage, JobView
from baton.domain.wire import EpochRow

if TYPE_CHECKING:
    from baton.client.client import Client


class Job(JobView):
    """The state of a job at the time of the request, with the fields of `baton.domain.views.JobView`.

    Each method makes a new request. The object itself does not change: `refresh` returns the current state.

    >>> import baton
    >>> with baton.Client(url, token) as client:
    ...     job = client.submit_plan("digits-demo")
    ...     now = job.cancel().refresh()
    >>> job.status, now.status
    ('queued', 'cancelled')
    """

    _client: Any = PrivateAttr(default=None)

    def of(self, client: Client) -> Self:
        """Sets the client for further requests, and returns this job."""
        self._client = client
        return self

    def refresh(self) -> Job:
        """The current state of the job."""
        return self._calls.job(self.id)

    def wait(self, *, timeout: float | None = None) -> Job:
        """Waits until the job has ended: succeeded, failed or cancelled. See `Client.wait`.

        >>> job.wait(timeout=3600).status  # doctest: +SKIP
        'succeeded'
        """
        return self._calls.wait(self.id, timeout=timeout)

    def follow(self, *, timeout: float | None = None) -> Iterator[Job]:
        """Yields the job now and at each change, until it has ended. See `Client.follow`."""
        yield from self._calls.follow(self.id, timeout=timeout)

    def pause(self) -> Job:
        """Asks for a pause: the job saves its state and releases its worker."""
        return self._calls.pause(self.id)

    def resume(self) -> Job:
        """Queues a paused job again. It continues from its last checkpoint."""
        return self._calls.resume(self.id)

    def cancel(self) -> Job:
        """Ends the job. Only `retry` continues it."""
        return self._calls.cancel(self.id)

    def retry(self) -> Job:
        """Queues the job again after it failed or was cancelled. It continues from its last good checkpoint."""
        return self._calls.retry(self.id)

    def clone(self, overrides: Mapping[str, object] | None = None, *, name: str | None = None) -> Job:
        """Submits the spec of this job again. See `Client.submit_clone`."""
        return self._calls.submit_clone(self.id, overrides, name=name)

    def start_from(
        self,
        checkpoint: str | int = "latest",
        overrides: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
    ) -> Job:
        """Submits a job that starts from a checkpoint of this one. See `Client.submit_from`."""
        return self._calls.submit_from(self.id, checkpoint, overrides, name=name)

    def delete(self, *, force: bool = False) -> None:
        """Deletes the job with all its rows and objects. See `Client.delete`."""
        self._calls.delete(self.id, force=force)

    def change(self, **changes: Any) -> Job:
        """Changes name, labels, notes, priority and more. See `Client.change`."""
        return self._calls.change(self.id, changes)

    def history(self) -> list[EpochRow]:
        """The history: one row for each finished epoch, in order."""
        return self._calls.history(self.id)

    def series(self, *names: str, points: int = 500) -> list[SeriesView]:
        """The series: metrics by step, and the system metrics of the workers. See `Client.series`."""
        return self._calls.series(self.id, *names, points=points)

    def event_log(self) -> list[EventView]:
        """The events of the job, oldest first."""
        return self._calls.events(self.id)

    def download(self, name: str, target: Path | str) -> Path:
        """Writes an artifact, such as `best.keras`, to the file `target`. See `Client.download`.

        >>> job.download("best.keras", "best.keras")  # doctest: +SKIP
        PosixPath('best.keras')
        """
        return self._calls.download(self.id, name, Path(target))

    @property
    def _calls(self) -> Client:
        client: Client | None = self._client
        if client is None:
            raise RuntimeError("this job has no client: get it with Client(...).job(id)")
        return client


class Jobs(JobPage):
    """A page of jobs, newest first. `next_cursor` is None on the last page."""

    items: list[Job]  # type: ignore[assignment]  # narrower, and only ever read

    def of(self, client: Client) -> Self:
        """Sets the client of all its jobs, and returns this page."""
        for job in self.items:
            job.of(client)
        return self
