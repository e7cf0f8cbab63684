"""A worker gets an unknown value of another release: it gives the attempt back for other workers, and nothing else
changes.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from baton.domain.extensions import ONLY_PROGRAMS, PROGRAMS
from baton.domain.protocol_versions import CANNOT_READ, PROTOCOL
from baton.domain.wire import Claim, Finish, NextRequest, Outcome, WorkerInfo, WorkerReport
from baton.storage.checksum import crc32c_of
from baton.storage.directory import DirectoryStore
from tests.service.helpers import spec
from tests.support.answers import refusal
from tests.support.wire import recorded
from tests.unit.worker.mock_service import speaking_to
from worker.api_client.client import Refused, ServiceClient
from worker.attempt.protocols import Workspace
from worker.attempt.runner import Runner
from worker.preemption.notice import Notice

PREFIX = "jobs/j/checkpoints/0000000007-1-1"
NEWER = json.dumps({"format": 2, "layout": "none that is known here"}).encode()
GRANT: dict[str, Any] = {
    "attempt_id": "a", "job_id": "j", "attempt": 1, "fence": 3, "lease_seconds": 30.0, "heartbeat_seconds": 10.0,
    "spec": spec(), "checkpoints": [], "seconds_between_interruptions": 3600.0, "token": "of-the-attempt",
}  # fmt: skip
CHECKPOINT = {
    "id": "c", "prefix": PREFIX, "manifest_crc32c": crc32c_of(NEWER), "fence": 1,
    "position": {"stage": 0, "epoch": 0, "step": 7, "global_step": 7},
}  # fmt: skip


class Service:
    """Grants one attempt with a given response, and records the requests."""

    def __init__(self, grant: dict[str, Any]) -> None:
        self.grant = grant
        self.posted: list[tuple[str, str, dict[str, Any]]] = []
        self.client = ServiceClient("http://service", "of-the-worker")
        self.client._http = httpx.Client(
            base_url="http://service/v1",
            headers={"Authorization": "Bearer of-the-worker"},
            transport=httpx.MockTransport(self.answer),
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        verb = request.url.path.rpartition("/")[2]
        self.posted.append((verb, request.headers["Authorization"], json.loads(request.content)))
        beat = {"directive": "continue", "lease_seconds": 30.0}
        return httpx.Response(200, json={"claim": self.grant, "heartbeat": beat}.get(verb, {}))

    def ending(self) -> dict[str, Any]:
        """Return the body of the only `finish` request. Assert that the request used the attempt's token."""
        ((_, token, body),) = [one for one in self.posted if one[0] == "finish"]
        assert token == "Bearer of-the-attempt"
        return body


def trains(*_: object) -> dict[str, float]:
    raise AssertionError("nothing here can be trained")


def run(grant: dict[str, Any], folder: Path) -> Service:
    service = Service(grant)
    store = DirectoryStore(folder / "store")
    store.put(f"{PREFIX}/manifest.json", NEWER)
    Runner(
        client=service.client,
        store=store,
        trainer=trains,
        workspace=Workspace(folder, 1, 0),
        worker=WorkerInfo(name="w", host="h", pid=1, version="0"),
        notice=Notice(),
        environment={},
        grace=5.0,
        claimed=lambda _grant: None,
    ).run("a")
    return service


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"spec": spec(gang={"size": 2})}, f"{CANNOT_READ}gang: is not a known field"),
        ({"spec": spec(optimizer={"name": "lion"})}, f"{CANNOT_READ}optimizer.name: must be"),
        ({"checkpoints": [CHECKPOINT]}, "has format 2; this worker reads formats up to 1"),
        ({"spec": None, "spec_object": "jobs/j/spec.json"}, "this worker cannot read the service's grant"),
    ],
)
def test_what_a_newer_service_grants_is_given_back(changes: dict[str, Any], cause: str, tmp_path: Path) -> None:
    service = run({**GRANT, "protocol": PROTOCOL, **changes}, tmp_path)
    ending = service.ending()
    assert (ending["outcome"], ending["reason"], ending["fence"]) == ("failed", "worker_too_old", 3)
    assert cause in ending["message"]
    assert "quarantine" not in [verb for verb, _, _ in service.posted]


def test_an_older_service_is_told_the_nearest_reason_that_it_knows(tmp_path: Path) -> None:
    ending = run({**GRANT, "spec": spec(gang={"size": 2})}, tmp_path).ending()
    assert ending["reason"] == "process_died"


@pytest.mark.parametrize(("protocol", "reason"), [(1, "process_died"), (PROTOCOL, "worker_too_old")])
def test_a_reason_that_an_older_service_does_not_know_is_replaced_in_a_report_of_a_death(
    protocol: int, reason: str
) -> None:
    """The supervisor reports for its training process. Only the training process saw the grant."""
    service = Service(GRANT)
    service.client.hold("a", "of-the-attempt", protocol)
    service.client.finish("a", Finish(fence=3, outcome=Outcome.FAILED, reason="worker_too_old"))
    assert service.ending()["reason"] == reason


MESSAGES = {"workers": "WorkerReport", "attempts:next": "NextRequest", "claim": "Claim"}
WORKER: dict[str, Any] = {"name": "w", "host": "h", "pid": 1, "version": "0"}


class Extensions:
    """A service that checks messages as the first release does, or as this one. `heard`: the extensions in them."""

    def __init__(self, *, old: bool) -> None:
        self.old, self.asked = old, 0
        self.heard: list[list[str]] = []
        self.schemas = {one.name: one.schema for one in recorded("service")}

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        verb, body = request.url.path.rpartition("/")[2], json.loads(request.content)
        checked = jsonschema.Draft202012Validator(self.schemas[MESSAGES[verb]])
        if self.old and not checked.is_valid(body):
            return refusal(422, "invalid-request", "extensions.1: no extension")
        self.heard.append(list(body.get("worker", body)["extensions"]))
        return httpx.Response(200, json={"claim": GRANT, "attempts:next": {"attempt_id": None}}.get(verb, {}))


def tell_everything(client: ServiceClient, *extensions: str) -> None:
    worker = WorkerInfo(**WORKER, extensions=extensions)
    client.report(WorkerReport(**WORKER, extensions=extensions))
    assert client.next_attempt(NextRequest(worker=worker)).attempt_id is None
    assert client.claim("a", Claim(claim_id="c" * 32, worker=worker)).fence == 3
    client.report(WorkerReport(**WORKER, extensions=extensions, ended=True))


def test_a_service_that_knows_no_programs_gives_the_worker_its_other_jobs(caplog: pytest.LogCaptureFixture) -> None:
    service = Extensions(old=True)
    with caplog.at_level(logging.WARNING):
        tell_everything(speaking_to(service.answer), "network/my-net", PROGRAMS, ONLY_PROGRAMS)
    assert service.heard == [["network/my-net"]] * 4
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the service is too old to give programs to this worker"
    ]


def test_a_service_that_was_updated_hears_of_programs_again() -> None:
    service = Extensions(old=True)
    client = speaking_to(service.answer)
    tell_everything(client, PROGRAMS)
    service.old, service.asked = False, 0
    tell_everything(client, PROGRAMS)
    assert (service.heard, service.asked) == ([[]] * 4 + [[PROGRAMS]] * 4, 4)


@pytest.mark.parametrize(("extension", "asked"), [("network/my-net", 1), (PROGRAMS, 2)])
def test_another_refusal_stays_one(extension: str, asked: int) -> None:
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return refusal(422, "invalid-request")

    with pytest.raises(Refused):
        speaking_to(refuse).report(WorkerReport(**WORKER, extensions=(extension,)))
    assert len(requests) == asked
