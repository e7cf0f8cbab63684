"""PATCH of a job: which fields can be changed, what is refused, and when a change takes effect."""

from __future__ import annotations

from typing import Any

import httpx
from redis import Redis

from baton.domain.queues import rq_queue
from service.reconciler.rq_dispatch import RqMessages
from tests.service.audit_log import lines
from tests.service.helpers import Api, assert_problem, worker_info
from tests.service.limited_jobs import claim, held_for, running


def patch(api: Api, job_id: str, change: Any, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "application/merge-patch+json", **headers}
    return api.http.patch(f"/v1/jobs/{job_id}", json=change, headers=sent)


def changed(api: Api, job_id: str, **change: Any) -> dict[str, Any]:
    answer = patch(api, job_id, change)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def labelled(api: Api, label: str) -> list[str]:
    return [one["id"] for one in api.http.get("/v1/jobs", params={"label": label}).json()["items"]]


def test_each_field_is_changed_in_its_row_and_in_the_spec(api: Api) -> None:
    before = api.submit(labels={"team": "vision", "draft": "yes"})
    job_id, spec = before["id"], before["spec"]
    wanted: dict[str, Any] = {
        "name": "final",
        "labels": {"draft": None, "paper": "2"},
        "notes": "é" * 10_000,
        "priority": "high",
        "protected": True,
        "limits": {"stall": "5m", "max_runtime": "1h"},
        "notify": {"when": []},
        "checkpoint": {"every": "60s"},
        "retry": {"backoff": "1m"},
    }
    job = changed(api, job_id, **wanted)
    assert (job["name"], job["notes"], job["priority"], job["protected"]) == ("final", "é" * 10_000, "high", True)
    assert job["labels"] == job["spec"]["labels"] == {"team": "vision", "paper": "2"}
    assert [labelled(api, one) for one in ("team:vision", "paper:2", "draft:yes")] == [[job_id], [job_id], []]
    assert job["spec"]["limits"] == {"stall": 300.0, "max_runtime": 3600.0}
    assert (job["spec"]["notify"], job["spec"]["checkpoint"]) == ({"when": []}, {"every": "60s", "keep": 3})
    assert job["spec"]["retry"] == {**spec["retry"], "backoff": 60.0}
    same = [name for name in spec if name not in wanted]
    assert {name: job["spec"][name] for name in same} == {name: spec[name] for name in same}
    event, entry = api.items(job_id, "events")[-1], lines(api)[0]
    assert (event["kind"], event["actor"], event["data"]["changes"].keys()) == ("changed", "user", wanted.keys())
    assert event["data"]["changes"]["checkpoint"] == {"old": spec["checkpoint"], "new": job["spec"]["checkpoint"]}
    assert len(event["data"]["changes"]["notes"]["new"]) < 400
    assert (entry["kind"], entry["subject"], entry["data"]["fields"]) == ("job_changed", job_id, list(wanted))
    # A repeated change changes nothing, and null restores the default of the spec.
    assert changed(api, job_id, **wanted)["version"] == job["version"]
    reset = changed(api, job_id, notes=None, labels=None, limits=None, priority=None, retry={"backoff": None})
    assert (reset["notes"], reset["labels"], reset["priority"]) == (None, {}, "normal")
    assert (reset["spec"].get("limits"), reset["spec"]["retry"]) == (None, spec["retry"])
    assert labelled(api, "team:vision") == []


# One service for all cases: a start costs more than the requests.
REFUSED: list[tuple[Any, str, str]] = [
    ({"seed": 1}, "seed", "baton submit --from JOB --set seed="),
    ({"stages": []}, "stages", "must stay reproducible"),
    ({"queue": "gpu"}, "queue", "clone it"),
    ({"colour": "red"}, "colour", "can be changed are name, labels, notes"),
    ({"name": "no spaces"}, "name", "must match"),
    ({"name": None}, "name", "is required"),
    ({"notes": "x" * 10_001}, "notes", "10000"),
    ({"protected": None}, "protected", "boolean"),
    ({"priority": "urgent"}, "priority", "must be"),
    ({"labels": {"a b": "c"}}, "labels.a b", "labels take"),
    ({"limits": {"stall": 0}}, "limits.stall", "at least 1"),
    ({"limits": 5}, "limits", "mapping"),
    ({"checkpoint": {"keep": 0, "odd": 1}}, "checkpoint.keep", "at least 1"),
    ({"retry": {"odd": 1}}, "retry.odd", "is not a known field"),
    ({"notify": {"targets": ["nobody"]}}, "notify.targets.0", "unknown target"),
    ([1], "(body)", "mapping"),
]


def test_a_refused_change_names_its_field_and_changes_nothing(api: Api) -> None:
    job = api.submit()
    for change, field, text in REFUSED:
        problem = assert_problem(patch(api, job["id"], change), 422, "invalid-spec")
        found = {error["field"]: error["message"] for error in problem["errors"]}
        assert text in found[field], found
        assert api.job(job["id"])["version"] == job["version"], change


def test_two_editors_do_not_overwrite_each_other(api: Api) -> None:
    job_id = api.submit()["id"]
    tag = api.http.get(f"/v1/jobs/{job_id}").headers["etag"]
    first = patch(api, job_id, {"notes": "mine"}, **{"If-Match": f'"1", {tag}'})
    assert (first.status_code, first.headers["etag"] != tag) == (200, True)
    for stale in (tag, '"other"'):
        refused = patch(api, job_id, {"notes": "theirs"}, **{"If-Match": stale})
        assert "get it again" in assert_problem(refused, 412, "changed-meanwhile")["detail"]
    assert api.job(job_id)["notes"] == "mine"
    for current in ("*", first.headers["etag"]):
        assert patch(api, job_id, {"notes": "mine"}, **{"If-Match": current}).status_code == 200


def test_a_waiting_job_moves_to_the_queue_of_its_new_priority(api: Api, redis_client: Redis) -> None:
    messages = RqMessages(redis_client)
    first, second = api.submit()["id"], api.submit()["id"]
    api.conduct()
    attempt = api.attempt(second)["id"]
    assert messages.entries(rq_queue("default", "normal"), 10) == [api.attempt(first)["id"], attempt]
    changed(api, second, priority="high")
    assert messages.entries(rq_queue("default", "normal"), 10) == [api.attempt(first)["id"]]
    offer = api.http.post("/v1/attempts:next", json={"worker": worker_info(), "queues": ["default"]}).json()
    assert offer["attempt_id"] == attempt
    api.conduct()
    assert messages.entries(rq_queue("default", "high"), 10) == [attempt]


def test_a_held_job_says_that_its_worker_reads_the_change_later(api: Api) -> None:
    hand = api.running()
    changed(api, hand.job_id, checkpoint={"every": "60s"}, retry={"max_failures": 0})
    assert api.items(hand.job_id, "events")[-1]["message"].endswith("a worker reads checkpoint with its next claim")
    hand.finish("failed", reason="exception", message="ValueError: x")
    assert api.job(hand.job_id)["reason"] == "too_many_failures"


def test_a_raised_limit_lets_a_job_go_on_whose_worker_ends_at_the_old_one(api: Api) -> None:
    hand = running(api)
    held_for(api, hand, 601)
    changed(api, hand.job_id, limits={"max_runtime": "1h"})
    hand.finish("failed", reason="max_runtime", message="enough")
    assert api.job(hand.job_id)["status"] == "recovering"
    assert claim(api, hand.job_id, "w2").grant["runtime_left"] > 600
