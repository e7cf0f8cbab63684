"""The token of an attempt gives access to the routes of that attempt while it is held, and to nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.service.helpers import Api, WorkerHand, assert_problem, bearer, eventually
from tests.service.writes import WRITES, everything
from tests.support.statements import statements


@pytest.fixture
def worker(api: Api) -> str:
    """The token of a worker."""
    return str(api.token("work", name="spot")["token"])


def claimed(api: Api, token: str, **changes: Any) -> WorkerHand:
    return api.claim(api.submit(**changes)["id"], token=token)


def with_token(hand: WorkerHand, token: str) -> WorkerHand:
    """The same worker and claim, with another token."""
    return WorkerHand(hand.api, hand.attempt_id, hand.job_id, grant={**hand.grant, "token": token})


def test_a_worker_needs_only_its_token_and_the_attempts_token(api: Api, worker: str) -> None:
    headers = bearer(worker)
    job = api.submit()["id"]
    asking = {"worker": {"name": "w", "host": "h", "pid": 1, "version": "0"}, "wait_seconds": 5}
    assert api.http.post("/v1/workers", json=asking["worker"], headers=headers).status_code == 204
    offered = eventually(lambda: api.http.post("/v1/attempts:next", json=asking, headers=headers).json()["attempt_id"])
    hand = WorkerHand(api, offered, job, token=worker)
    hand.grant = hand.claim().json()
    statuses = [hand.beat("training").status_code, hand.checkpoint(1).status_code, hand.epoch(1, 1, 1).status_code]
    statuses += [hand.artifact().status_code, hand.note().status_code]
    for path in ("", "/attempts"):
        assert api.http.get(f"/v1/jobs/{job}{path}", headers=hand.headers).status_code == 200
    assert [*statuses, hand.finish("succeeded").status_code] == [200, 201, 200, 200, 201, 200]
    assert api.job(job)["status"] == "succeeded"


@pytest.mark.parametrize("write", WRITES)
def test_a_workers_own_token_writes_to_no_attempt(api: Api, worker: str, write: str) -> None:
    hand = claimed(api, worker)
    before = everything(api, hand.job_id)
    problem = assert_problem(WRITES[write](with_token(hand, worker)), 403, "forbidden")
    assert "'attempt'" in problem["detail"]
    assert everything(api, hand.job_id) == before


@pytest.mark.parametrize("write", WRITES)
def test_the_token_of_another_attempt_writes_nothing(api: Api, worker: str, write: str) -> None:
    hand, other = claimed(api, worker), claimed(api, worker)
    before = everything(api, hand.job_id)
    assert_problem(WRITES[write](with_token(hand, other.grant["token"])), 403, "forbidden")
    assert everything(api, hand.job_id) == before
    assert hand.beat("training").status_code == 200


@pytest.mark.parametrize("write", WRITES)
def test_a_zombie_is_told_that_its_lease_is_lost(api: Api, worker: str, write: str) -> None:
    """The error is `lease-lost`, not a bad token: this code makes the worker stop."""
    zombie = claimed(api, worker)
    zombie.beat("training")
    api.let_lease_run_out(zombie.attempt_id)
    api.conduct()
    successor = api.claim(zombie.job_id, "successor", worker)
    before = everything(api, zombie.job_id)
    assert_problem(WRITES[write](zombie), 409, "lease-lost")
    # The token of the new attempt is refused by the routes of the old one, and the other way round.
    assert_problem(WRITES[write](with_token(zombie, successor.grant["token"])), 403, "forbidden")
    assert_problem(WRITES[write](with_token(successor, zombie.grant["token"])), 403, "forbidden")
    assert everything(api, zombie.job_id) == before


def test_the_last_message_may_be_repeated(api: Api, worker: str) -> None:
    hand = claimed(api, worker)
    first = hand.finish("preempted")
    assert (first.status_code, hand.finish("preempted").json()["state"]) == (200, "preempted")
    assert_problem(hand.beat("training"), 409, "lease-lost")


def test_the_same_claim_gets_the_same_token_and_another_none(api: Api, worker: str) -> None:
    hand = claimed(api, worker)
    assert hand.claim().json()["token"] == hand.grant["token"]
    answer = WorkerHand(api, hand.attempt_id, hand.job_id, "w2", token=worker).claim()
    assert_problem(answer, 409, "conflict")
    assert "token" not in answer.json()


def test_it_is_good_at_every_replica_and_after_a_restart(api: Api, worker: str, start: Callable[..., Api]) -> None:
    hand = claimed(api, worker)
    for replica in (start(), start(token="another-token-of-the-service")):
        hand.api = replica
        assert hand.beat("training").status_code == 200


def test_it_reads_its_own_job_while_it_is_held(api: Api, worker: str) -> None:
    hand, other = claimed(api, worker), claimed(api, worker)
    for path in ("", "/attempts"):
        assert api.http.get(f"/v1/jobs/{hand.job_id}{path}", headers=hand.headers).status_code == 200
        assert_problem(api.http.get(f"/v1/jobs/{other.job_id}{path}", headers=hand.headers), 403, "forbidden")
    assert_problem(api.http.get(f"/v1/jobs/{hand.job_id}/events", headers=hand.headers), 403, "forbidden")
    hand.finish("preempted")
    assert_problem(api.http.get(f"/v1/jobs/{hand.job_id}", headers=hand.headers), 403, "forbidden")


def test_what_was_claimed_with_a_token_ends_with_its_revocation(api: Api) -> None:
    made = api.token("work")
    hand = claimed(api, made["token"])
    assert hand.beat("training").status_code == 200
    api.http.post(f"/v1/tokens/{made['id']}/revoke")
    problem = assert_problem(hand.beat("training"), 401, "unauthorized")
    assert "was revoked" in problem["detail"]
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    assert api.job(hand.job_id)["status"] == "recovering"


def test_what_was_claimed_goes_on_when_the_token_expires(api: Api) -> None:
    made = api.token("work", expires_seconds=3600)
    hand = claimed(api, made["token"])
    api.let_token_expire(made["id"])
    assert_problem(WorkerHand(api, hand.attempt_id, hand.job_id, token=made["token"]).claim(), 401, "unauthorized")
    assert hand.beat("training").status_code == 200
    assert hand.finish("succeeded").status_code == 200


def test_a_changed_token_is_refused(api: Api, worker: str) -> None:
    hand, other = claimed(api, worker), claimed(api, worker)
    *names, seal = hand.grant["token"].split("_")
    theirs = other.grant["token"].split("_")
    assert names[:2] == ["baton", "attempt"]
    changes = [{2: theirs[2]}, {3: "2"}, {4: theirs[4]}, {5: "0"}]
    forged = ["_".join([{**dict(enumerate(names)), **one}[k] for k in range(len(names))] + [seal]) for one in changes]
    forged += ["_".join([*names, "0" * 64]), "_".join(names), hand.grant["token"] + "0"]
    for text in forged:
        assert_problem(with_token(hand, text).beat("training"), 401, "unauthorized")
    assert hand.beat("training").status_code == 200


def test_a_heartbeat_with_an_attempts_token_reads_no_tokens(api: Api) -> None:
    """The attempt was claimed with BATON_TOKEN. Its token is checked by its signature, without a query."""
    hand = api.running()
    api.services.authenticator.forget()
    with statements(api.services.database.engine) as found:
        assert hand.beat("training").status_code == 200
    assert not [one for one in found if "tokens" in one or "signing_keys" in one]
