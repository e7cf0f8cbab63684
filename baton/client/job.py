"""A job as the SDK answers it: what the service said, and the calls that concern it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from baton.domain.views import EventView, JobPage, JobView
from baton.domain.wire import EpochRow

if TYPE_CHECKING:
    from baton.client.client import Client


class Job(JobView):
    """A job as it was when the service was asked; each call asks anew and changes nothing here."""

    _client: Any = PrivateAttr(default=None)

    def of(self, client: Client) -> Self:
        """This job, asked about through `client`."""
        self._client = client
        return self

    def refresh(self) -> Job:
        """The job as it is now."""
        return self._calls.job(self.id)

    def wait(self, *, timeout: float | None = None) -> Job:
        """The job when it has ended, as succeeded, failed or cancelled; see `Client.wait`."""
        return self._calls.wait(self.id, timeout=timeout)

    def follow(self, *, timeout: float | None = None) -> Iterator[Job]:
        """The job each time that it changes, until it has ended; see `Client.follow`."""
        return self._calls.follow(self.id, timeout=timeout)

    def pause(self) -> Job:
        """Asks for a pause; the job saves and gives its worker back."""
        return self._calls.pause(self.id)

    def resume(self) -> Job:
        """Lets a paused job go on."""
        return self._calls.resume(self.id)

    def cancel(self) -> Job:
        """Ends the job for good."""
        return self._calls.cancel(self.id)

    def history(self) -> list[EpochRow]:
        """One row an epoch, in order."""
        return self._calls.history(self.id)

    def event_log(self) -> list[EventView]:
        """What happened to the job, oldest first."""
        return self._calls.events(self.id)

    def download(self, name: str, target: Path | str) -> Path:
        """Writes an artifact, such as `best.keras`, to the file `target`; see `Client.download`."""
        return self._calls.download(self.id, name, Path(target))

    @property
    def _calls(self) -> Client:
        client: Client | None = self._client
        if client is None:
            raise RuntimeError("this job came from no client: ask one for it with Client(...).job(id)")
        return client


class Jobs(JobPage):
    """A page of jobs, newest first. `next_cursor` is None on the last one."""

    items: list[Job]  # type: ignore[assignment]  # narrower, and only ever read

    def of(self, client: Client) -> Self:
        """This page, its jobs asked about through `client`."""
        for job in self.items:
            job.of(client)
        return self
