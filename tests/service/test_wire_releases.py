"""Recorded messages of earlier releases are understood by this release, and messages of this release by them."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import jsonschema
import pytest

from baton.domain import wire
from baton.domain.manifest import checkpoint_prefix
from baton.domain.protocol_versions import PROTOCOL, reason_for
from baton.domain.reasons import Reason
from tests.service.helpers import Api, WorkerHand, spec, worker_info
from tests.support.wire import RELEASES, recorded, samples
from worker.api_client.client import ServiceClient
from worker.attempt.lease import Lease

JOB, ATTEMPT = "1" * 32, "2" * 32
PATHS = {
    "Heartbeat": "heartbeat",
    "CheckpointCommit": "checkpoints",
    "EpochRecord": "epochs",
    "ArtifactCommit": "artifacts",
    "Note": "notes",
    "Quarantine": "quarantine",
    "Finish": "finish",
}
CREATED = ("CheckpointCommit", "Note")
ENDS = {
    "succeeded": ("succeeded", None),
    "preempted": ("recovering", "preempted"),
    "paused": ("paused", "paused"),
    "cancelled": ("cancelled", "cancelled"),
    "unreadable": ("recovering", "worker_too_old"),
    "extreme": ("recovering", "exception"),
}
CLIENT: dict[str, Any] = {"Offer": "next_attempt", "Grant": "claim", "Beat": "heartbeat"}


def held(api: Api) -> WorkerHand:
    """An attempt of a worker that reports no version."""
    hand = api.claim(api.submit()["id"])
    assert hand.fence == 1
    return hand


def body_for(hand: WorkerHand, body: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(body).replace(JOB, hand.job_id).replace(ATTEMPT, hand.attempt_id)
    return dict(json.loads(text))


def prepare(hand: WorkerHand, message: str, sample: str, body: dict[str, Any]) -> None:
    """Do what must have happened before this message."""
    if message == "Quarantine":
        assert hand.checkpoint(7, prefix=body["prefix"]).status_code == 201
    if message == "ArtifactCommit":
        body["crc32c"] = hand.api.put(body["object"], b"model")
    if message == "CheckpointCommit":
        if sample == "extreme":
            # The recorded name has the largest step that a name can have.
            body["prefix"] = checkpoint_prefix(hand.job_id, 2**53, 1, 10**79)
        body["manifest_crc32c"] = hand.api.put(f"{body['prefix']}/manifest.json", b"{}")
    if message == "Finish" and sample in ("paused", "cancelled"):
        hand.api.ask(hand.job_id, {"paused": "pause", "cancelled": "cancel"}[sample])


@pytest.mark.parametrize(
    ("release", "message", "sample", "body"),
    [one for one in samples("service") if one[1] in PATHS],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_recorded_request_of_an_attempt_has_its_effect(
    api: Api, release: str, message: str, sample: str, body: dict[str, Any]
) -> None:
    hand = held(api)
    body = body_for(hand, body)
    prepare(hand, message, sample, body)
    answer = hand.post(PATHS[message], **body)
    assert answer.status_code == (201 if message in CREATED else 200), answer.text
    job, attempt = api.job(hand.job_id), api.attempt(hand.job_id)
    if message == "Heartbeat":
        assert job["phase"] == body["phase"]
    if message == "CheckpointCommit":
        assert job["checkpoint"]["global_step"] == body["position"]["global_step"]
        assert set(api.items(hand.job_id, "checkpoints")[-1]["roles"]) == set(body["roles"])
    if message == "EpochRecord":
        assert api.items(hand.job_id, "history")[-1]["loss"] == body["row"]["loss"]
    if message == "ArtifactCommit":
        assert [one["name"] for one in api.items(hand.job_id, "artifacts")] == [body["name"]]
    if message == "Note":
        assert body["kind"] in api.kinds(hand.job_id)
    if message == "Quarantine":
        assert job["checkpoint"] is None
    if message == "Finish":
        status, reason = ENDS[sample]
        ended = api.items(hand.job_id, "attempts")[0]
        assert (job["status"], ended["reason"]) == (status, reason)
    assert attempt["attempt"] >= 1


@pytest.mark.parametrize("sample", ["typical", "extreme"])
@pytest.mark.parametrize("release", RELEASES)
def test_a_recorded_worker_registers_asks_and_claims(api: Api, release: str, sample: str) -> None:
    bodies = {name: body for at, name, of, body in samples("service") if (at, of) == (release, sample)}
    worker = bodies["Claim"]["worker"]
    assert api.http.post("/v1/workers", json=bodies["WorkerReport"]).is_success
    job = api.submit(queue=bodies["NextRequest"]["queues"][0])
    offered = api.http.post("/v1/attempts:next", json=bodies["NextRequest"]).json()["attempt_id"]
    assert offered == api.attempt(job["id"])["id"]
    answer = api.http.post(f"/v1/attempts/{offered}/claim", json=bodies["Claim"])
    assert answer.status_code == 200, answer.text
    assert api.job(job["id"])["worker"] == worker["name"]
    seen = {one["name"]: one for one in api.http.get("/v1/workers").json()["items"]}
    assert seen[worker["name"]]["device"] == worker["device"]


def answering(body: dict[str, Any]) -> ServiceClient:
    client = ServiceClient("http://service", "t" * 16)
    client._http = httpx.Client(
        base_url="http://service/v1", transport=httpx.MockTransport(lambda _request: httpx.Response(200, json=body))
    )
    return client


@pytest.mark.parametrize(
    ("release", "message", "sample", "body"),
    samples("worker"),
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_recorded_answer_is_read_by_this_worker(
    release: str, message: str, sample: str, body: dict[str, Any]
) -> None:
    client = answering(body)
    info = wire.WorkerInfo(**worker_info())
    if message == "Offer":
        assert client.next_attempt(wire.NextRequest(worker=info)).attempt_id == body["attempt_id"]
    elif message == "Grant":
        grant = client.claim(ATTEMPT, wire.Claim(claim_id="c" * 32, worker=info))
        assert (grant.spec, len(grant.checkpoints)) == (body["spec"], len(body["checkpoints"]))
        assert grant.protocol == 1
    else:
        beat = client.heartbeat(ATTEMPT, wire.Heartbeat(fence=1, phase=wire.Phase.TRAINING))
        assert beat.directive == body["directive"]


NOT_FINITE = re.compile(r'"(NaN|-?Infinity)"')
"""Numbers that pydantic reads from text, although no schema says so."""
# Messages of this release, as an earlier release reads them: it ignores extra fields, but not extra values.
OURS: dict[str, list[dict[str, Any]]] = {
    "WorkerReport": [{**worker_info(), "protocol": PROTOCOL, "spec_version": 7, "queues": ["default"]}],
    "NextRequest": [{"worker": {**worker_info(), "protocol": PROTOCOL, "spec_version": 7}}],
    "Claim": [{"claim_id": "c" * 32, "worker": {**worker_info(), "protocol": PROTOCOL, "spec_version": 7}}],
    "Heartbeat": [{"fence": 1, "phase": phase} for phase in wire.Phase],
    "Finish": [
        {"fence": 1, "outcome": outcome, "reason": reason_for(1, reason)}
        for outcome in wire.Outcome
        for reason in Reason
    ],
    "Beat": [{"directive": one, "lease_seconds": 1.0, "protocol": PROTOCOL} for one in wire.Directive],
    "Offer": [{"attempt_id": None}],
}


@pytest.mark.parametrize("release", RELEASES)
def test_what_this_release_says_is_read_by_that_one(release: str) -> None:
    schemas = {one.name: one for side in ("service", "worker") for one in recorded(side) if one.release == release}
    for name, one in schemas.items():
        validator = jsonschema.Draft202012Validator(one.schema)
        message = getattr(wire, name)
        for body in [*one.samples.values(), *OURS.get(name, ())]:
            written = message.model_validate(body).model_dump_json()
            validator.validate(json.loads(NOT_FINITE.sub("0.0", written)))


def test_a_grant_is_read_by_that_release(api: Api) -> None:
    schema = next(one.schema for one in recorded("worker") if one.name == "Grant")
    hand = held(api)
    hand.checkpoint(7)
    hand.finish("preempted")
    jsonschema.Draft202012Validator(schema).validate(api.claim(hand.job_id).grant)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("heartbeat", {"phase": "dreaming"}),
        ("heartbeat", {"phase": "training", "unknown": {"a": 1}, "seconds": {"dreaming": 3.0}}),
        ("checkpoints", {"roles": ["latest", "newest_kind"]}),
    ],
)
def test_what_a_newer_worker_says_ends_nothing(api: Api, verb: str, body: dict[str, Any]) -> None:
    hand = held(api)
    hand.beat("loading")
    answer = hand.checkpoint(7, *body["roles"]) if verb == "checkpoints" else hand.post(verb, **body)
    assert answer.is_success, answer.text
    assert api.job(hand.job_id)["phase"] == ("training" if body.get("phase") == "training" else "loading")
    if verb == "checkpoints":
        assert api.items(hand.job_id, "checkpoints")[-1]["roles"] == ["latest"]
    assert api.attempt(hand.job_id)["state"] in ("starting", "running")


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ({"outcome": "failed", "reason": "disk_on_fire"}, "disk_on_fire"),
        ({"outcome": "promoted"}, "promoted"),
        ({"outcome": "promoted", "reason": "exception", "phase": "dreaming"}, "exception"),
    ],
)
def test_an_end_that_only_a_newer_worker_knows_is_tried_again(api: Api, ending: dict[str, Any], reason: str) -> None:
    hand = held(api)
    hand.beat("restoring")
    answer = hand.post("finish", **ending)
    assert answer.status_code == 200, answer.text
    assert answer.json()["reason"] == reason
    job = api.job(hand.job_id)
    assert (job["status"], job["reason"], job["failures"]) == ("recovering", reason, 1)
    assert hand.post("finish", **ending).json()["reason"] == reason  # the same message again
    assert api.attempt(hand.job_id)["state"] == "queued"


def test_a_worker_goes_on_at_a_directive_that_it_does_not_know() -> None:
    grant = wire.Grant.model_validate(
        {
            "attempt_id": ATTEMPT, "job_id": JOB, "attempt": 1, "fence": 1, "lease_seconds": 30,
            "heartbeat_seconds": 10, "spec": spec(), "checkpoints": [], "seconds_between_interruptions": 1,
        }
    )  # fmt: skip
    lease = Lease(answering({"directive": "hibernate", "lease_seconds": 30.0}), grant)
    assert lease._beat()
    assert lease.directive is wire.Directive.CONTINUE
    lease.check()
