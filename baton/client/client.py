"""The Python SDK: one method for each REST call, and methods that wait for a job or follow it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from baton.client.changes import ChangeCalls
from baton.client.code import CodeCalls
from baton.client.data import DataCalls
from baton.client.deletion import DeletionCalls
from baton.client.download import download
from baton.client.errors import Unreachable
from baton.client.job import Job
from baton.client.notifications import NotificationCalls
from baton.client.projects import ProjectCalls
from baton.client.series import SeriesCalls
from baton.client.streams import LogPart, Outage, follow_events, follow_log, read_log
from baton.client.submissions import SubmissionCalls
from baton.client.tokens import TokenCalls
from baton.client.transport import RetryPolicy, Transport
from baton.domain.states import TERMINAL_JOBS
from baton.domain.views import (
    ArtifactView,
    AttemptView,
    CheckpointView,
    EventPage,
    EventView,
    StageView,
    WorkerView,
)
from baton.domain.wire import EpochRow

if TYPE_CHECKING:
    from baton.domain.plan_views import PlanView

LONG_POLL = 20.0
TIMEOUT = LONG_POLL + 20.0
OUTAGE = 600.0
UNCHANGED = 0.1  # seconds between two long polls without a change, in case the service answers them at once
ENDED = frozenset(state.value for state in TERMINAL_JOBS)
_M = TypeVar("_M", bound=BaseModel)


class Client(
    TokenCalls,
    ProjectCalls,
    NotificationCalls,
    DataCalls,
    CodeCalls,
    SubmissionCalls,
    DeletionCalls,
    ChangeCalls,
    SeriesCalls,
):
    """The client of a Baton service. Its jobs have methods too, such as `job.wait()`.

    `url`: of the service. `token`: sent with each request. `patience`: how failed requests are retried. `timeout`:
    seconds without an answer. `project`: the project in which an administrator acts: it sees only this project, and
    what it makes belongs to it.

    Raises `ConfigurationError` if the URL is invalid. All calls raise `Unreachable` if the service does not answer, and
    `ApiError` if it refuses the request.

    >>> from baton import Client
    >>> with Client(url, token) as client:
    ...     job = client.submit_plan("digits-demo", {"seed": 7})
    ...     ids = [one.id for one in client.all_jobs(status="queued")]
    >>> job.id in ids
    True
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def job(self, job_id: str, *, wait: float | None = None, version: int | None = None) -> Job:
        """A job by its id. `wait`: maximum seconds to wait until its version is greater than `version`."""
        params = {"wait": wait, "version": version}
        return self._job(self._transport.request("GET", _path(job_id), params=params))

    def pause(self, job_id: str) -> Job:
        """Asks for a pause: the job saves its state and releases its worker."""
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Queues a paused job again. It continues from its last checkpoint."""
        return self._ask(job_id, "resume")

    def cancel(self, job_id: str) -> Job:
        """Ends a job. Only `retry` continues it."""
        return self._ask(job_id, "cancel")

    def retry(self, job_id: str) -> Job:
        """Queues a failed or cancelled job again. It continues from its last good checkpoint."""
        return self._ask(job_id, "retry")

    def _ask(self, job_id: str, action: str) -> Job:
        return self._job(self._transport.request("POST", _path(job_id, action)))

    def _job(self, answer: httpx.Response) -> Job:
        return Job.model_validate_json(answer.content).of(self)

    def stages(self, job_id: str) -> list[StageView]:
        """The job's stages in order."""
        return self._items(_path(job_id, "stages"), StageView)

    def attempts(self, job_id: str) -> list[AttemptView]:
        """The attempts of the job, oldest first. An attempt is one worker's hold on the job."""
        return self._items(_path(job_id, "attempts"), AttemptView)

    def checkpoints(self, job_id: str) -> list[CheckpointView]:
        """The job's committed checkpoints."""
        return self._items(_path(job_id, "checkpoints"), CheckpointView)

    def history(self, job_id: str) -> list[EpochRow]:
        """The history: one row for each finished epoch, in order."""
        return self._items(_path(job_id, "history"), EpochRow)

    def events(self, job_id: str, *, after: int = 0) -> list[EventView]:
        """The job's events after the one with the sequence number `after`, oldest first."""
        found: list[EventView] = []
        following: int | None = after
        while following is not None:
            answer = self._transport.request("GET", _path(job_id, "events"), params={"after": following})
            page = EventPage.model_validate_json(answer.content)
            found += page.items
            following = page.next_after
        return found

    def events_stream(
        self,
        job_id: str,
        *,
        after: int = 0,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> Iterator[EventView]:
        """Yields the job's events after the sequence number `after`, also new ones, until the last event of the job.

        `on_outage`: called with the error when the service is unavailable, before each retry.

        Raises:
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        return follow_events(self._transport, _path(job_id, "events"), after, Outage(outage, on_outage))

    def log(self, job_id: str, attempt: int, *, offset: int = 0, wait: float = 0.0) -> LogPart:
        """The output of an attempt's training process from byte `offset` on. `wait`: maximum seconds to wait if there
        is none yet.

        A part may end within a character: join the bytes before you decode them.
        """
        return read_log(self._transport, _path(job_id, "attempts", str(attempt), "log"), offset, wait)

    def log_stream(
        self,
        job_id: str,
        attempt: int,
        *,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> Iterator[str]:
        """Yields the output of an attempt's training process, also new output, until the log is complete.

        `on_outage`: called with the error when the service is unavailable, before each retry.

        Raises:
            Unreachable: the service was unavailable for longer than `outage` seconds.
        """
        path = _path(job_id, "attempts", str(attempt), "log")
        return follow_log(self._transport, path, Outage(outage, on_outage))

    def artifacts(self, job_id: str) -> list[ArtifactView]:
        """The files of the job: models, history, evaluation, report."""
        return self._items(_path(job_id, "artifacts"), ArtifactView)

    def plans(self) -> list[PlanView]:
        """The published plans."""
        # Imported late: it needs the whole spec, which takes a third of the time of importing this module.
        from baton.domain.plan_views import PlanView

        return self._items("/v1/plans", PlanView)

    def preview(self, spec: Mapping[str, Any]) -> PlanView:
        """A spec's stages with defaults, and its totals, without submitting it. `dataset.path` may be missing."""
        return self._preview(dict(spec))

    def preview_plan(self, plan: str, overrides: Mapping[str, object] | None = None) -> PlanView:
        """A plan's stages with defaults, and its totals, after the `overrides`, without submitting it."""
        return self._preview({"plan": plan, "set": dict(overrides or {})})

    def _preview(self, body: dict[str, Any]) -> PlanView:
        from baton.domain.plan_views import PlanView

        return PlanView.model_validate_json(self._transport.request("POST", "/v1/plans:preview", json=body).content)

    def workers(self) -> list[WorkerView]:
        """The workers as they were last seen."""
        return self._items("/v1/workers", WorkerView)

    def ready(self) -> dict[str, Any]:
        """The readiness of the service: the states of its database, Redis and store."""
        return dict(self._transport.request("GET", "/readyz").json())

    def clock_offset(self, clock: Callable[[], float] = time.time) -> float:
        """Seconds by which this machine's clock is ahead of the service's. Precise to about one second."""
        asked = clock()
        date = self._transport.request("GET", "/healthz").headers.get("Date", "")
        middle = (asked + clock()) / 2
        # The header has whole seconds, so the true time is half a second later on average.
        return middle - (parsedate_to_datetime(date).timestamp() + 0.5)

    def _items(self, path: str, model: type[_M]) -> list[_M]:
        return [model.model_validate(item) for item in self._transport.request("GET", path).json()["items"]]

    def download(self, job_id: str, name: str, target: Path) -> Path:
        """Writes an artifact to the file `target`, atomically, and verifies its CRC32C. Returns `target`.

        Raises:
            ApiError: status 404 if the job has no such file.
            DownloadError: the received bytes do not match the checksum that the service lists.

        >>> from pathlib import Path
        >>> client.download(job.id, "best.keras", Path("best.keras"))  # doctest: +SKIP
        PosixPath('best.keras')
        """
        listed = {artifact.name: artifact.crc32c for artifact in self.artifacts(job_id)}
        return download(self._transport, _path(job_id, "artifacts", name), target, listed.get(name))

    def follow(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        outage: float = OUTAGE,
        on_outage: Callable[[Unreachable], None] | None = None,
    ) -> Iterator[Job]:
        """Yields the job now and at each change, until it has ended. Outages of up to `outage` seconds are retried.

        A worker that becomes silent (`silent_seconds`) is a change too. `on_outage`: called with the error when the
        service is unavailable.

        Raises:
            TimeoutError: the job has not ended after `timeout` seconds.
            Unreachable: the service was unavailable for longer than `outage` seconds.

        >>> for state in client.follow(job.id):  # doctest: +SKIP
        ...     print(state.status, state.progress.fraction if state.progress else 0.0)
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        version, shown, given_up = None, (), math.inf  # type: int | None, tuple[object, ...], float
        while True:
            try:
                job = self._next(job_id, version, end)
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
                time.sleep(UNCHANGED)
            if job.status in ENDED:
                return

    def _next(self, job_id: str, version: int | None, end: float) -> Job:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"job {job_id} has not ended yet")
        return self.job(job_id, wait=None if version is None else round(min(LONG_POLL, left), 3), version=version)

    def wait(self, job_id: str, *, timeout: float | None = None, outage: float = OUTAGE) -> Job:
        """Waits until the job has ended: succeeded, failed or cancelled. Survives restarts of the service.

        Raises:
            TimeoutError: the job has not ended after `timeout` seconds.
            Unreachable: the service was unavailable for longer than `outage` seconds.

        >>> client.cancel(job.id).status
        'cancelled'
        >>> client.wait(job.id, timeout=60).status
        'cancelled'
        """
        *_, job = self.follow(job_id, timeout=timeout, outage=outage)
        return job


def _path(job_id: str, *parts: str) -> str:
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (job_id, *parts))])
