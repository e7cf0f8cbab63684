"""The Python SDK: one method for each REST call, and `wait`."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from baton.client.download import download
from baton.client.errors import Unreachable
from baton.client.job import Job, Jobs
from baton.client.notifications import NotificationCalls
from baton.client.streams import LogPart, Outage, follow_events, follow_log, read_log
from baton.client.tokens import TokenCalls
from baton.client.transport import RetryPolicy, Transport
from baton.domain.plan_views import PlanView
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

LONG_POLL = 20.0
TIMEOUT = LONG_POLL + 20.0
OUTAGE = 600.0
UNCHANGED = 0.1  # between two long polls that found nothing new, so that a service which does not wait is not flooded
ENDED = frozenset(state.value for state in TERMINAL_JOBS)
_M = TypeVar("_M", bound=BaseModel)


class Client(TokenCalls, NotificationCalls):
    """A user's view of a Baton service. A job that it answers can be waited for and steered itself: `job.wait()`.

    Errors: `Unreachable` and `ApiError`.
    """

    def __init__(self, url: str, token: str, *, patience: RetryPolicy | None = None, timeout: float = TIMEOUT) -> None:
        super().__init__(Transport(url, token, patience, timeout))
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

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Submits a job spec. The same key with the same spec gives the same job, so a lost answer doubles nothing."""
        return self._submit(dict(spec), idempotency_key)

    def submit_plan(
        self, plan: str, overrides: Mapping[str, object] | None = None, *, idempotency_key: str | None = None
    ) -> Job:
        """Submits a published plan, with fields changed by dotted path, e.g. `{"stages.0.epochs": 2}`."""
        return self._submit({"plan": plan, "set": dict(overrides or {})}, idempotency_key)

    def _submit(self, body: dict[str, Any], key: str | None) -> Job:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._job(self._transport.request("POST", "/v1/jobs", json=body, headers=headers))

    def jobs(
        self, *, status: str | None = None, label: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Jobs:
        """A page of jobs, newest first."""
        params = {"status": status, "label": label, "limit": limit, "cursor": cursor}
        page = Jobs.model_validate_json(self._transport.request("GET", "/v1/jobs", params=params).content)
        return page.of(self)

    def all_jobs(self, *, status: str | None = None, label: str | None = None) -> Iterator[Job]:
        """All jobs, newest first, page by page."""
        cursor = None
        while True:
            page = self.jobs(status=status, label=label, limit=100, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def job(self, job_id: str, *, wait: float | None = None, version: int | None = None) -> Job:
        """A job; with `wait` (seconds), the answer comes as soon as its version is greater than `version`."""
        params = {"wait": wait, "version": version}
        return self._job(self._transport.request("GET", _path(job_id), params=params))

    def pause(self, job_id: str) -> Job:
        """Asks for a pause; the job saves and gives its worker back."""
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Lets a paused job go on."""
        return self._ask(job_id, "resume")

    def cancel(self, job_id: str) -> Job:
        """Ends a job for good."""
        return self._ask(job_id, "cancel")

    def _ask(self, job_id: str, action: str) -> Job:
        return self._job(self._transport.request("POST", _path(job_id, action)))

    def _job(self, answer: httpx.Response) -> Job:
        return Job.model_validate_json(answer.content).of(self)

    def stages(self, job_id: str) -> list[StageView]:
        """The job's stages in order."""
        return self._items(_path(job_id, "stages"), StageView)

    def attempts(self, job_id: str) -> list[AttemptView]:
        """Each worker's hold on the job, oldest first."""
        return self._items(_path(job_id, "attempts"), AttemptView)

    def checkpoints(self, job_id: str) -> list[CheckpointView]:
        """The job's committed checkpoints."""
        return self._items(_path(job_id, "checkpoints"), CheckpointView)

    def history(self, job_id: str) -> list[EpochRow]:
        """One row an epoch, in order."""
        return self._items(_path(job_id, "history"), EpochRow)

    def events(self, job_id: str, *, after: int = 0) -> list[EventView]:
        """The job's log after the event with the number `after`."""
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
        """The job's log after the event with the number `after`, each event as it happens, until the job's last.

        Raises:
            Unreachable: the service stayed away for longer than `outage` seconds.
        """
        return follow_events(self._transport, _path(job_id, "events"), after, Outage(outage, on_outage))

    def log(self, job_id: str, attempt: int, *, offset: int = 0, wait: float = 0.0) -> LogPart:
        """What an attempt's training process printed after byte `offset`; with `wait` (seconds) once there is any.

        It is cut anywhere: join the bytes before you decode them.
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
        """What an attempt's training process prints, as it comes, until the attempt has ended and all has come.

        Raises:
            Unreachable: the service stayed away for longer than `outage` seconds.
        """
        path = _path(job_id, "attempts", str(attempt), "log")
        return follow_log(self._transport, path, Outage(outage, on_outage))

    def artifacts(self, job_id: str) -> list[ArtifactView]:
        """The job's files for people."""
        return self._items(_path(job_id, "artifacts"), ArtifactView)

    def plans(self) -> list[PlanView]:
        """The published plans."""
        return self._items("/v1/plans", PlanView)

    def preview(self, spec: Mapping[str, Any]) -> PlanView:
        """What a spec would come to, without submitting it; its `dataset.path` may be left out."""
        return self._preview(dict(spec))

    def preview_plan(self, plan: str, overrides: Mapping[str, object] | None = None) -> PlanView:
        """What a published plan would come to, with fields changed by dotted path."""
        return self._preview({"plan": plan, "set": dict(overrides or {})})

    def _preview(self, body: dict[str, Any]) -> PlanView:
        return PlanView.model_validate_json(self._transport.request("POST", "/v1/plans:preview", json=body).content)

    def workers(self) -> list[WorkerView]:
        """The workers as they were seen last."""
        return self._items("/v1/workers", WorkerView)

    def ready(self) -> dict[str, Any]:
        """What the service says of its database, Redis and store."""
        return dict(self._transport.request("GET", "/readyz").json())

    def clock_offset(self, clock: Callable[[], float] = time.time) -> float:
        """Seconds that this machine's clock is ahead of the service's; good to a second or so, as HTTP tells it."""
        asked = clock()
        said = self._transport.request("GET", "/healthz").headers.get("Date", "")
        middle = (asked + clock()) / 2
        # The header has whole seconds, so what it means lies half a second later on the average.
        return middle - (parsedate_to_datetime(said).timestamp() + 0.5)

    def _items(self, path: str, model: type[_M]) -> list[_M]:
        return [model.model_validate(item) for item in self._transport.request("GET", path).json()["items"]]

    def download(self, job_id: str, name: str, target: Path) -> Path:
        """Writes an artifact to the file `target`, whole or not at all, and checks it against its CRC32C.

        Raises:
            DownloadError: what arrived is not what the service listed.
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
        """Yields the job each time it changes, until it has ended. Survives outages of up to `outage` seconds.

        A silent worker (`silent_seconds`) is a change too.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds.
            Unreachable: the service was unavailable for longer than `outage`.
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
        """The job when it has ended, as succeeded, failed or cancelled; a restart of the service does not matter.

        Raises:
            TimeoutError: it runs on after `timeout` seconds.
            Unreachable: the service stayed away for longer than `outage` seconds.
        """
        *_, job = self.follow(job_id, timeout=timeout, outage=outage)
        return job


def _path(job_id: str, *parts: str) -> str:
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (job_id, *parts))])
