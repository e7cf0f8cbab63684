"""The Python SDK: one method for each REST call, and methods that wait for a job or follow it. Asynchronous.

Generated from baton/client/client.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from baton.client.aio.changes import ChangeCalls
from baton.client.aio.code import CodeCalls
from baton.client.aio.data import DataCalls
from baton.client.aio.deletion import DeletionCalls
from baton.client.aio.download import download
from baton.client.aio.job import AsyncJob
from baton.client.aio.job_lists import JobListCalls
from baton.client.aio.notifications import NotificationCalls
from baton.client.aio.projects import ProjectCalls
from baton.client.aio.series import SeriesCalls
from baton.client.aio.streams import Outage, follow_events, follow_log, read_log
from baton.client.aio.submissions import SubmissionCalls
from baton.client.aio.tokens import TokenCalls
from baton.client.aio.transport import Transport
from baton.client.aio.usage import UsageCalls
from baton.client.client import _M, ENDED, LONG_POLL, TIMEOUT, UNCHANGED, _path
from baton.client.errors import Unreachable
from baton.client.streams import OUTAGE, LogPart
from baton.client.transport import RetryPolicy
from baton.domain.views import ArtifactView, AttemptView, CheckpointView, EventPage, EventView, StageView, WorkerView
from baton.domain.wire import EpochRow

if TYPE_CHECKING:
    from baton.domain.plan_views import PlanView


class AsyncClient(
    TokenCalls,
    ProjectCalls,
    NotificationCalls,
    DataCalls,
    CodeCalls,
    SubmissionCalls,
    JobListCalls,
    DeletionCalls,
    ChangeCalls,
    SeriesCalls,
    UsageCalls,
):
    """The client of a Baton service. Its jobs have methods too, such as `job.wait()`.

    `url`: of the service. `token`: sent with each request. `patience`: how failed requests are retried. `timeout`:
    seconds without an answer. `project`: the project in which an administrator acts: it sees only this project, and
    what it makes belongs to it.

    Raises `ConfigurationError` if the URL is invalid. All calls raise `Unreachable` if the service does not answer, and
    `ApiError` if it refuses the request.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: RetryPolicy | None = None,
        timeout: float = TIMEOUT,
        project: str | None = None,
    ) -> None:
        super().__init__(Transport(url, token, patience, timeout, project=project))
        self.url = self._transport.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def job(self, job_id: str, *, wait: float | None = None, version: int | None = None) -> AsyncJob:
        """A job by its id. `wait`: maximum seconds to wait until its version is greater than `version`."""
        params = {"wait": wait, "version": version}
        return self._job(await self._transport.request("GET", _path(job_id), params=params))

    async def pause(self, job_id: str) -> AsyncJob:
        """Asks for a pause: the job saves its state and releases its worker."""
        return await self._ask(job_id, "pause")

    async def resume(self, job_id: str) -> AsyncJob:
        """Queues a paused job again. It continues from its last checkpoint."""
        return await self._ask(job_id, "resume")

    async def cancel(self, job_id: str) -> AsyncJob:
        """Ends a job. Only `retry` continues it."""
        return await self._ask(job_id, "cancel")

    async def retry(self, job_id: str) -> AsyncJob:
        """Queues a failed or cancelled job again. It continues from its last good checkpoint."""
        return await self._ask(job_id, "retry")

    async def _ask(self, job_id: str, action: str) -> AsyncJob:
        return self._job(await self._transport.request("POST", _path(job_id, action)))

    def _job(self, answer: httpx.Response) -> AsyncJob:
        return AsyncJob.model_validate_json(answer.content).of(self)

    async def stages(self, job_id: str) -> list[StageView]:
        """The job's stages in order."""
        return await self._items(_path(job_id, "stages"), StageView)

    async def attempts(self, job_id: str) -> list[AttemptView]:
        """The attempts of the job, oldest first. An attempt is one worker's hold on the job."""
        return await self._items(_path(job_id, "attempts"), AttemptView)

    async def attempt(self, attempt_id: str) -> AttemptView:
        """One attempt by its id. Its `job_id` is the job."""
        answer = await self._transport.request("GET", f"/v1/attempts/{quote(attempt_id, safe='')}")
        return AttemptView.model_validate_json(answer.content)

    async def checkpoints(self, job_id: str) -> list[CheckpointView]:
        """The job's committed checkpoints."""
        return await self._items(_path(job_id, "checkpoints"), CheckpointView)

    async def history(self, job_id: str) -> list[EpochRow]:
        """The history: one row for each finished epoch, in order."""
        return await self._items(_path(job_id, "history"), EpochRow)

    async def events(self, job_id: str, *, after: int = 0) -> list[EventView]:
        """The job's events after the one with the sequence number `after`, oldest first."""
        found: list[EventView] = []
        following: int | None = after
        while following is not None:
            answer = await self._transport.request("GET", _path(job_id, "events"), params={"after": following})
            page = EventPage.model_validate_json(answer.content)
            found += page.items
            following = page.next_after
        return found

    async def events_stream(
        self,
        job_id: str,
        *,
        after: int = 0,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> AsyncIterator[EventView]:
        """Yields the job's events after the sequence number `after`, also new ones, until the last event of the job.

        `on_outage`: called with the error when the service is unavailable, before each retry.

        Raises:
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        async for one in follow_events(self._transport, _path(job_id, "events"), after, Outage(outage, on_outage)):
            yield one

    async def log(self, job_id: str, attempt: int, *, offset: int = 0, wait: float = 0.0) -> LogPart:
        """The output of an attempt's training process from byte `offset` on. `wait`: maximum seconds to wait if there
        is none yet.

        A part may end within a character: join the bytes before you decode them.
        """
        return await read_log(self._transport, _path(job_id, "attempts", str(attempt), "log"), offset, wait)

    async def log_stream(
        self,
        job_id: str,
        attempt: int,
        *,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> AsyncIterator[str]:
        """Yields the output of an attempt's training process, also new output, until the log is complete.

        `on_outage`: called with the error when the service is unavailable, before each retry.

        Raises:
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        path = _path(job_id, "attempts", str(attempt), "log")
        async for one in follow_log(self._transport, path, Outage(outage, on_outage)):
            yield one

    async def artifacts(self, job_id: str) -> list[ArtifactView]:
        """The files of the job: models, history, evaluation, report."""
        return await self._items(_path(job_id, "artifacts"), ArtifactView)

    async def plans(self) -> list[PlanView]:
        """The published plans."""
        # Imported late: it needs the whole spec, which takes a third of the time of importing this module.
        from baton.domain.plan_views import PlanView

        return await self._items("/v1/plans", PlanView)

    async def preview(self, spec: Mapping[str, Any]) -> PlanView:
        """A spec's stages with defaults, and its totals, without submitting it. `dataset.path` may be missing."""
        return await self._preview(dict(spec))

    async def preview_plan(self, plan: str, overrides: Mapping[str, object] | None = None) -> PlanView:
        """A plan's stages with defaults, and its totals, after the `overrides`, without submitting it."""
        return await self._preview({"plan": plan, "set": dict(overrides or {})})

    async def _preview(self, body: dict[str, Any]) -> PlanView:
        from baton.domain.plan_views import PlanView

        return PlanView.model_validate_json(
            (await self._transport.request("POST", "/v1/plans:preview", json=body)).content
        )

    async def workers(self) -> list[WorkerView]:
        """The workers as they were last seen."""
        return await self._items("/v1/workers", WorkerView)

    async def ready(self) -> dict[str, Any]:
        """The readiness of the service: the states of its database, Redis and store."""
        return dict((await self._transport.request("GET", "/readyz")).json())

    async def clock_offset(self, clock: Callable[[], float] = time.time) -> float:
        """Seconds by which this machine's clock is ahead of the service's. Precise to about one second."""
        asked = clock()
        date = (await self._transport.request("GET", "/healthz")).headers.get("Date", "")
        middle = (asked + clock()) / 2
        # The header has whole seconds, so the true time is half a second later on average.
        return middle - (parsedate_to_datetime(date).timestamp() + 0.5)

    async def _items(self, path: str, model: type[_M]) -> list[_M]:
        found: list[_M] = []
        cursor: str | None = None
        while True:
            page = (await self._transport.request("GET", path, params={"cursor": cursor})).json()
            found += [model.model_validate(item) for item in page["items"]]
            cursor = page.get("next_cursor")  # an older service has none
            if cursor is None:
                return found

    async def download(self, job_id: str, name: str, target: Path) -> Path:
        """Writes an artifact to the file `target`, atomically, and verifies its CRC32C. Returns `target`.

        Raises:
            ApiError: status 404 if the job has no such file.
            DownloadError: the received bytes do not match the checksum that the service lists.
        """
        listed = {artifact.name: artifact.crc32c for artifact in await self.artifacts(job_id)}
        return await download(self._transport, _path(job_id, "artifacts", name), target, listed.get(name))

    async def follow(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> AsyncIterator[AsyncJob]:
        """Yields the job now and at each change, until it has ended. Outages of up to `outage` seconds are retried.

        A worker that becomes silent (`silent_seconds`) is a change too. `on_outage`: called with the error when the
        service is unavailable.

        Raises:
            TimeoutError: the job has not ended after `timeout` seconds.
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        version, shown, given_up = None, (), math.inf  # type: int | None, tuple[object, ...], float
        while True:
            try:
                job = await self._next(job_id, version, end)
            except Unreachable as error:
                given_up = min(given_up, time.monotonic() + outage)
                if time.monotonic() >= given_up:
                    raise
                if on_outage:
                    on_outage(error)
                continue
            given_up = math.inf
            version, state = job.version, (job.version, job.silent_seconds is not None)
            if state != shown:
                shown = state
                yield job
            elif job.status not in ENDED:
                await asyncio.sleep(UNCHANGED)
            if job.status in ENDED:
                return

    async def _next(self, job_id: str, version: int | None, end: float) -> AsyncJob:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"job {job_id} has not ended yet")
        return await self.job(job_id, wait=None if version is None else round(min(LONG_POLL, left), 3), version=version)

    async def wait(self, job_id: str, *, timeout: float | None = None, outage: float = OUTAGE) -> AsyncJob:
        """Waits until the job has ended: succeeded, failed or cancelled. Survives restarts of the service.

        Raises:
            TimeoutError: the job has not ended after `timeout` seconds.
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        async for job in self.follow(job_id, timeout=timeout, outage=outage):
            if job.status in ENDED:
                return job
        raise AssertionError("unreachable: the last job of `follow` has ended")
