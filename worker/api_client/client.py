"""The worker's client of the service. Each call is one try; the type of the error shows whether to retry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from baton.domain.epochs import BestMetric, EpochRollback
from baton.domain.errors import BatonError
from baton.domain.extensions import without_programs
from baton.domain.protocol_versions import FIRST, ROLLS_BACK_HISTORY, TAKES_SERIES, reason_for
from baton.domain.series import BATCH_POINTS, SeriesPoint, SeriesRecord, SeriesRecorded, SeriesRollback
from baton.domain.views import AttemptView, JobView, Listing
from baton.domain.wire import (
    ArtifactCommit,
    Beat,
    CheckpointCommit,
    Claim,
    EpochRecord,
    Finish,
    Grant,
    GrantHead,
    Heartbeat,
    NextRequest,
    Note,
    Offer,
    Quarantine,
    WorkerInfo,
    WorkerReport,
)
from baton.telemetry import traces
from worker.api_client.answers import Refused, ServiceUnavailable, check

__all__ = ("GrantUnreadable", "Refused", "ServiceClient", "ServiceUnavailable")

ANSWER_SECONDS, CONNECT_SECONDS = 10.0, 5.0
UNPROCESSABLE = 422
_Answer = TypeVar("_Answer", bound=BaseModel)
_Info = TypeVar("_Info", bound=WorkerInfo)
_Result = TypeVar("_Result")
log = logging.getLogger(__name__)


class GrantUnreadable(BatonError):
    """Only a newer worker can read the service's grant. `head`: the fields that are needed to return the attempt."""

    code = "grant-unreadable"

    def __init__(self, head: GrantHead, cause: str) -> None:
        self.head = head
        super().__init__(f"this worker cannot read the service's grant: {cause}")


def _parsed(response: httpx.Response, path: str, answer: type[_Answer]) -> _Answer:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceUnavailable(f"the service's answer to {path} is not valid: {error}") from error


def _timeout(seconds: float = ANSWER_SECONDS) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


class ServiceClient:
    """The calls of a worker. Safe to use from several threads.

    Calls about a claimed attempt use the token from its grant, all others the worker's token. Every call can raise
    ServiceUnavailable and Refused; calls with a fence also raise LeaseLost.
    """

    def __init__(self, url: str, token: str, name: str = "") -> None:
        """`name`: the worker's name. The service limits the number of connections of each name."""
        headers = {"Authorization": f"Bearer {token}"}
        if name:
            headers["Baton-Worker"] = quote(name)[:200]
        self._http = httpx.Client(base_url=url.rstrip("/") + "/v1", headers=headers, timeout=_timeout())
        self._attempt_tokens: dict[str, str] = {}
        self._protocols: dict[str, int] = {}
        self._told_of_programs = False

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def report(self, report: WorkerReport, seconds: float = ANSWER_SECONDS) -> None:
        """Reports that this worker is alive or that it ends. `seconds`: time limit for the answer."""
        self._described(report, lambda one: self._post("/workers", one, _timeout(seconds)))

    def next_attempt(self, request: NextRequest) -> Offer:
        """Asks for work. The service may wait up to `wait_seconds` for work before it answers."""
        timeout = _timeout(ANSWER_SECONDS + request.wait_seconds)
        return self._described(
            request.worker,
            lambda one: self._ask("/attempts:next", request.model_copy(update={"worker": one}), Offer, timeout),
        )

    def claim(self, attempt_id: str, claim: Claim) -> Grant:
        """Claims an attempt. Refused with status 409 if it is taken, no longer needed, or not for this worker.

        Raises GrantUnreadable if the grant is in a format that only a newer worker can read.
        """
        response = self._described(
            claim.worker,
            lambda one: self._post(f"/attempts/{attempt_id}/claim", claim.model_copy(update={"worker": one})),
        )
        head = _parsed(response, "claim", GrantHead)
        self.hold(attempt_id, head.token, head.protocol)
        try:
            return Grant.model_validate_json(response.content)
        except ValidationError as error:
            raise GrantUnreadable(head, str(error)) from error

    def _described(self, worker: _Info, send: Callable[[_Info], _Result]) -> _Result:
        """The result of `send`, which sends a description of the worker.

        A service before protocol 6 refuses the extensions of programs, and also every message with them. It gets the
        description without them, and gives the worker its other jobs. Each message is tried in full first, so a service
        that is updated meanwhile gives programs too.
        """
        try:
            return send(worker)
        except Refused as error:
            less = without_programs(worker.extensions)
            if error.status != UNPROCESSABLE or less == worker.extensions:
                raise
            result = send(worker.model_copy(update={"extensions": less}))
            if not self._told_of_programs:
                self._told_of_programs = True
                log.warning("the service is too old to give programs to this worker: update it (%s)", error)
            return result

    def hold(self, attempt_id: str, token: str | None, protocol: int = FIRST) -> None:
        """Uses this token for the calls of this attempt. None (from an older service): uses the worker's token.

        `protocol`: the service's version.
        """
        self._protocols[attempt_id] = protocol
        if token is not None:
            self._attempt_tokens[attempt_id] = token

    def heartbeat(self, attempt_id: str, beat: Heartbeat) -> Beat:
        """Renews the lease."""
        return self._ask(f"/attempts/{attempt_id}/heartbeat", beat, Beat, attempt=attempt_id)

    def commit_checkpoint(self, attempt_id: str, commit: CheckpointCommit) -> None:
        """Commits a checkpoint. Before the commit, the checkpoint does not exist for the service."""
        self._post(f"/attempts/{attempt_id}/checkpoints", commit, attempt=attempt_id)

    def record_epoch(self, attempt_id: str, record: EpochRecord) -> None:
        """Records a finished epoch."""
        self._post(f"/attempts/{attempt_id}/epochs", record, attempt=attempt_id)

    def rollback_history(self, attempt_id: str, fence: int, after_epoch: int, best: BestMetric | None) -> None:
        """Deletes the rows after an epoch. 0: all rows. `best`: the best epoch up to there. May be repeated.

        Does nothing on an older service, which keeps them.
        """
        if self._protocols.get(attempt_id, FIRST) >= ROLLS_BACK_HISTORY:
            rollback = EpochRollback(fence=fence, after_epoch=after_epoch, best=best)
            self._post(f"/attempts/{attempt_id}/epochs/rollback", rollback, attempt=attempt_id)

    def takes_series(self, attempt_id: str) -> bool:
        """Whether the service stores series. An older one does not, and the calls about series then do nothing."""
        return self._protocols.get(attempt_id, FIRST) >= TAKES_SERIES

    def series(self, attempt_id: str, fence: int, points: Sequence[SeriesPoint]) -> frozenset[str]:
        """Stores points of series. Sends more than BATCH_POINTS in several calls. May be repeated.

        Returns the names whose points were left out, because the job has too many series.
        """
        left_out: set[str] = set()
        if self.takes_series(attempt_id):
            for begin in range(0, len(points), BATCH_POINTS):
                record = SeriesRecord(fence=fence, points=tuple(points[begin : begin + BATCH_POINTS]))
                answer = self._ask(f"/attempts/{attempt_id}/series", record, SeriesRecorded, attempt=attempt_id)
                left_out.update(answer.left_out)
        return frozenset(left_out)

    def rollback_series(self, attempt_id: str, fence: int, after_step: int) -> None:
        """Deletes the points after a step, except those of system metrics. -1: all points. May be repeated."""
        if self.takes_series(attempt_id):
            rollback = SeriesRollback(fence=fence, after_step=after_step)
            self._post(f"/attempts/{attempt_id}/series/rollback", rollback, attempt=attempt_id)

    def commit_artifact(self, attempt_id: str, commit: ArtifactCommit) -> None:
        """Commits a new version of an artifact."""
        self._post(f"/attempts/{attempt_id}/artifacts", commit, attempt=attempt_id)

    def note(self, attempt_id: str, note: Note) -> None:
        """Adds an event to the job's log."""
        self._post(f"/attempts/{attempt_id}/notes", note, attempt=attempt_id)

    def quarantine(self, attempt_id: str, quarantine: Quarantine) -> None:
        """Reports an unreadable checkpoint. The service then no longer uses it."""
        self._post(f"/attempts/{attempt_id}/quarantine", quarantine, attempt=attempt_id)

    def finish(self, attempt_id: str, finish: Finish) -> None:
        """Ends the attempt. Replaces a reason that is too new for this version of the service by an older one."""
        reason = reason_for(self._protocols.get(attempt_id, FIRST), finish.reason)
        finish = finish.model_copy(update={"reason": reason})
        self._post(f"/attempts/{attempt_id}/finish", finish, attempt=attempt_id)

    def job(self, attempt_id: str, job_id: str) -> JobView:
        """The job of the attempt, as its owner sees it."""
        return self._get(f"/jobs/{job_id}", JobView, attempt_id)

    def attempts(self, attempt_id: str, job_id: str) -> list[AttemptView]:
        """All attempts of the same job, oldest first."""
        return self._get(f"/jobs/{job_id}/attempts", Listing[AttemptView], attempt_id).items

    def _headers(self, attempt_id: str | None) -> dict[str, str]:
        token = self._attempt_tokens.get(attempt_id or "")
        return {**traces.carrier(), **({"Authorization": f"Bearer {token}"} if token else {})}

    def send(
        self,
        method: str,
        path: str,
        attempt: str,
        *,
        expected: str,
        headers: Mapping[str, str],
        seconds: float,
        content: bytes | memoryview = b"",
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One call with bytes, for objects of the store. `expected`: the media type of the answer."""
        try:
            response = self._http.request(
                method,
                path,
                content=bytes(content),
                params=params,
                headers={**self._headers(attempt), **headers},
                timeout=_timeout(seconds),
            )
        except httpx.HTTPError as error:
            raise ServiceUnavailable(f"no answer from {self._http.base_url}: {error!r}") from error
        check(response, expected)
        return response

    def _get(self, path: str, answer: type[_Answer], attempt: str) -> _Answer:
        try:
            response = self._http.get(path, headers=self._headers(attempt))
        except httpx.HTTPError as error:
            raise ServiceUnavailable(f"no answer from {self._http.base_url}: {error!r}") from error
        check(response)
        return _parsed(response, path, answer)

    def _post(
        self, path: str, message: BaseModel, timeout: httpx.Timeout | None = None, attempt: str | None = None
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json", **self._headers(attempt)}
        content, timeout = message.model_dump_json(), timeout or self._http.timeout
        try:
            response = self._http.post(path, content=content, headers=headers, timeout=timeout)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(f"no answer from {self._http.base_url}: {error!r}") from error
        check(response)
        return response

    def _ask(
        self,
        path: str,
        message: BaseModel,
        answer: type[_Answer],
        timeout: httpx.Timeout | None = None,
        attempt: str | None = None,
    ) -> _Answer:
        return _parsed(self._post(path, message, timeout, attempt), path, answer)
