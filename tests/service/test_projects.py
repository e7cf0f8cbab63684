"""Projects: their quotas, tokens that are bound to a project or to queues, and what a single user sees of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from baton.domain.spec import parse_spec
from service.db.data_tables import DataObject
from service.db.tables import Attempt, IdempotencyKey
from service.db.unit_of_work import Unit
from service.errors import NotFound
from service.principal import Principal
from service.usecases import code_bundles, data_objects
from service.usecases.submit import submit
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem, spec, worker_info
from tests.service.pushes import Push, put, sha256
from tests.service.two_projects import member
from tests.support.bundles import bundle
from tests.support.moved_clock import MovedClock


def project(api: Api, name: str = "vision", **quotas: int) -> Api:
    """Create or change a project. Returns a client with a token of it."""
    answer = api.http.put(f"/v1/projects/{name}", json=quotas)
    assert answer.status_code == 201, answer.text
    return member(api, name)


def claim(api: Api, job: dict[str, Any], by: Api) -> Any:
    """A claim of the job's attempt by a worker with this client's token."""
    hand = WorkerHand(by, api.attempt(job["id"])["id"], job["id"])
    return hand.claim()


def next_of(api: Api, queue: str = "default") -> str | None:
    asked = {"queues": [queue], "worker": worker_info("w9"), "wait_seconds": 0}
    answer = api.http.post("/v1/attempts:next", json=asked)
    assert answer.status_code == 200, answer.text
    found: str | None = answer.json()["attempt_id"]
    return found


def test_a_single_user_has_one_project(api: Api) -> None:
    job = api.submit()
    assert (job["owner"], job["project"]) == ("user", "default")
    with api.services.database.read() as session:
        assert list(session.scalars(select(Attempt.project))) == ["default"]
    (only,) = api.http.get("/v1/projects").json()["items"]
    assert (only["name"], only["use"]["queued"], set(only["quotas"].values())) == ("default", 1, {None})
    assert_problem(api.http.delete("/v1/projects/default"), 409, "conflict")


def test_the_owner_of_a_job_is_the_token_that_submitted_it(api: Api) -> None:
    us = project(api)
    job = us.submit()
    assert (job["owner"], job["project"]) == ("vision-0", "vision")
    other = member(api, "vision", "read", "submit", name="colleague")
    assert other.http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202  # all members may act on it
    assert other.job(job["id"])["owner"] == "vision-0"


def test_a_project_is_created_changed_and_deleted(api: Api, moved: MovedClock) -> None:
    us = project(api, max_queued=1)
    shown = api.http.put("/v1/projects/vision", json={"max_attempts": 2, "max_data_bytes": 2**40})
    assert (shown.status_code, shown.json()["quotas"]["max_queued"]) == (200, None)
    assert us.http.get("/v1/projects/vision").json() == shown.json()
    for change in ({"max_attempts": -1}, {"max_queued": "3"}, {"most": 1}):
        assert_problem(api.http.put("/v1/projects/vision", json=change), 422, "invalid-request")
    assert_problem(api.http.put("/v1/projects/Vision", json={}), 422, "invalid-request")
    job = us.submit()
    problem = assert_problem(api.http.delete("/v1/projects/vision"), 409, "conflict")
    assert "jobs (delete them) and tokens (revoke them)" in problem["detail"]
    assert us.http.delete(f"/v1/jobs/{job['id']}?force=true").status_code == 202
    problem = assert_problem(api.http.delete("/v1/projects/vision"), 409, "conflict")
    assert "deleted jobs that are still being removed" in problem["detail"]
    moved.move(86_400)
    api.conduct()
    for token in api.http.get("/v1/tokens").json()["items"]:
        api.http.post(f"/v1/tokens/{token['id']}/revoke")
    assert api.http.delete("/v1/projects/vision").status_code == 204
    assert_problem(api.http.get("/v1/projects/vision"), 404, "not-found")
    assert_problem(api.http.delete("/v1/projects/vision"), 404, "not-found")
    kinds = [line["kind"] for line in api.http.get("/v1/audit").json()["items"]]
    assert kinds.count("project_changed") == kinds.count("project_created") == kinds.count("project_deleted") == 1


def test_tokens_of_unknown_projects_and_bound_administrators_are_refused(api: Api) -> None:
    def ask(**body: Any) -> Any:
        return api.http.post("/v1/tokens", json={"name": "x", "scopes": ["read"], **body})

    assert_problem(ask(project="vision"), 404, "not-found")
    project(api)
    for wrong in ({"queues": []}, {"queues": ["A b"]}, {"scopes": ["admin"], "queues": ["a"]}):
        assert_problem(ask(**wrong), 422, "invalid-request")
    assert_problem(ask(scopes=["read", "admin"], project="vision"), 422, "invalid-request")
    made = ask(project="vision", queues=["b", "a", "b"]).json()
    assert (made["project"], made["queues"]) == ("vision", ["a", "b"])


@ON_BOTH
def test_no_more_attempts_run_than_the_quota_allows(api: Api) -> None:
    us = project(api, max_attempts=1)
    first, second, other = us.submit(), us.submit(), api.submit()
    assert claim(us, first, us).status_code == 200
    problem = assert_problem(claim(us, second, us), 409, "limit-reached")
    assert "project vision is at its limit of 1" in problem["detail"]
    assert us.job(second["id"])["waiting_for"] == "a place: project vision is at its limit of 1"
    assert next_of(us) is None
    assert us.http.get("/v1/queues/default").json()["waiting"] == 0
    api.conduct()
    assert next_of(api) == api.attempt(other["id"])["id"]  # the quota holds back only its project
    assert api.http.put("/v1/projects/vision", json={"max_attempts": 2}).status_code == 200
    assert us.http.get("/v1/queues/default").json()["waiting"] == 1
    assert claim(us, second, us).status_code == 200


@ON_BOTH
def test_no_more_jobs_wait_than_the_quota_allows(api: Api) -> None:
    us = project(api, max_queued=2)
    jobs = [us.submit(), us.submit()]
    problem = assert_problem(us.http.post("/v1/jobs", json=spec()), 409, "project-quota")
    assert "vision has 2 queued jobs, and its quota max_queued is 2" in problem["detail"]
    inside = {"Baton-Project": "vision"}
    assert_problem(api.http.post("/v1/jobs", json=spec(), headers=inside), 409, "project-quota")
    assert us.ask(jobs[0]["id"], "cancel").status_code == 202
    us.submit()
    assert_problem(us.ask(jobs[0]["id"], "retry"), 409, "project-quota")
    assert us.job(jobs[0]["id"])["status"] == "cancelled"
    assert us.ask(jobs[1]["id"], "pause").status_code == 202
    us.submit()
    assert_problem(us.ask(jobs[1]["id"], "resume"), 409, "project-quota")
    assert us.job(jobs[1]["id"])["status"] == "paused"
    api.submit()


def test_a_job_that_lost_its_worker_is_queued_beyond_the_quota(api: Api) -> None:
    us = project(api, max_queued=1)
    job = us.submit()
    hand = WorkerHand(us, us.attempt(job["id"])["id"], job["id"])
    hand.grant = hand.claim().json()
    us.submit()
    hand.finish("preempted")
    assert us.job(job["id"])["status"] == "recovering"
    assert us.http.get("/v1/projects/vision").json()["use"]["queued"] == 2


@ON_BOTH
def test_nothing_is_put_into_a_project_that_was_deleted(api: Api) -> None:
    """As a request whose token was checked before the deletion, and whose body came after it."""
    late = Principal("ada", frozenset({"submit"}), project="gone")
    Push({"a/1.png": b"a"}).push(api)
    with api.services.database.read() as session:
        number = session.scalar(select(DataObject.number).limit(1))
    assert number is not None
    for attempt in (
        lambda unit: submit(unit, parse_spec(spec()), late),
        lambda unit: data_objects.sent(unit, number, "gone"),
        lambda unit: code_bundles.publish(unit, "0" * 64, 1, number, late),
    ):
        with api.services.database.write() as session, pytest.raises(NotFound, match="the project gone was deleted"):
            attempt(Unit(session))


def test_a_new_project_has_nothing_of_a_deleted_one_with_its_name(api: Api) -> None:
    content = bytes(100)
    inside = {"Baton-Project": "vision"}
    assert api.http.put("/v1/projects/vision", json={}).status_code == 201
    assert api.http.put(f"/v1/packs/{sha256(content)}", content=content, headers=inside).status_code == 204
    assert api.http.delete("/v1/projects/vision").status_code == 204
    assert api.http.put("/v1/projects/vision", json={}).json()["use"]["data_bytes"] == 0
    assert_problem(api.http.get(f"/v1/packs/{sha256(content)}", headers=inside), 404, "not-found")


@ON_BOTH
def test_pushed_data_has_a_quota(api: Api, moved: MovedClock) -> None:
    us, push = project(api, max_data_bytes=500), Push({"a/1.png": bytes(100)})
    push.push(us)
    large = bytes(400)
    problem = assert_problem(put(us, sha256(large), large), 507, "data-quota")
    assert "pushed data of the project vision uses" in problem["detail"]
    assert "of 500 bytes (quota max_data_bytes)" in problem["detail"]
    assert "baton data delete photos@" in problem["detail"]
    assert put(api, sha256(large), large).status_code == 204  # the default project has no quota
    used = us.http.get("/v1/projects/vision").json()["use"]["data_bytes"]
    assert used == 100 + len(push.manifest.encode())
    Push({"a/1.png": bytes(100), "b": b"b"}).push(api, "shared")
    assert us.http.delete("/v1/data/photos").status_code == 200
    moved.move(2 * 86_400)
    api.conduct()
    assert us.http.get("/v1/projects/vision").json()["use"]["data_bytes"] == 0
    assert put(us, sha256(large), large).status_code == 204
    assert len(api.http.get("/v1/data/shared").json()["items"]) == 1


def test_code_has_a_quota_and_is_shared_without_being_seen(api: Api, moved: MovedClock) -> None:
    content = bundle({"train.py": b"print(1)"})
    digest, us, small = hashlib.sha256(content).hexdigest(), project(api), project(api, "small", max_code_bytes=10)
    url = f"/v1/code/{digest}"
    assert us.http.put(url, content=content).status_code == 201
    # That the object exists changes no answer: not the quota, and not that the bundle is new for the project.
    problem = assert_problem(small.http.put(url, content=content), 507, "code-quota")
    assert "quota max_code_bytes" in problem["detail"]
    assert_problem(small.http.get(url), 404, "not-found")
    assert api.http.put(url, content=content).status_code == 201
    assert api.http.put(url, content=content).status_code == 200
    us.submit({"name": "x", "program": {"command": ["x"], "code": f"sha256:{digest}"}})
    moved.move(2 * 86_400)
    api.conduct()
    assert_problem(api.http.get(url), 404, "not-found")  # no job of this project names it
    assert us.http.get(url).status_code == 200
    assert len(list(api.services.store.list("code/"))) == 1


@ON_BOTH
def test_a_worker_of_a_project_gets_only_its_attempts(api: Api) -> None:
    us = project(api)
    theirs = api.submit()
    assert next_of(us) is None
    assert_problem(claim(api, theirs, us), 404, "not-found")
    assert api.attempt(theirs["id"])["state"] == "queued"
    ours = us.submit()
    assert next_of(us) == us.attempt(ours["id"])["id"]
    assert claim(us, ours, us).status_code == 200
    (worker,) = api.http.get("/v1/workers").json()["items"][:1]
    assert worker["name"] == "w1"
    assert [one["name"] for one in member(api, "default", "read").http.get("/v1/workers").json()["items"]] == []


def test_a_message_that_the_wrong_worker_took_is_sent_again(api: Api) -> None:
    """A worker that takes messages from Redis may take one of another project."""
    us, theirs = project(api), api.submit()
    api.conduct()
    assert_problem(claim(api, theirs, us), 404, "not-found")
    with api.services.database.read() as session:
        (attempt,) = session.scalars(select(Attempt))
        assert (attempt.dispatched_at, attempt.urgency) == (None, None)  # it waits for two seconds


def test_an_unbound_worker_serves_all_projects(start: Callable[..., Api]) -> None:
    api = start(work_token="w" * 32)
    us = project(api)
    job = us.submit()
    hand = WorkerHand(api, us.attempt(job["id"])["id"], job["id"], token="w" * 32)
    answer = hand.claim()
    assert answer.status_code == 200
    hand.grant = answer.json()
    assert hand.beat("training").status_code == 200
    (shown,) = us.http.get("/v1/workers").json()["items"]
    assert (shown["job_id"], shown["job_name"]) == (job["id"], job["name"])
    (hidden,) = member(api, "default", "read").http.get("/v1/workers").json()["items"]
    assert (hidden["state"], hidden["job_id"], hidden["job_name"], hidden["attempt"]) == ("busy", None, None, None)


def test_a_job_does_not_wait_for_workers_of_other_projects(api: Api) -> None:
    us = project(api)
    report = {**worker_info("theirs"), "queues": ["default"], "busy": False}
    assert us.http.post("/v1/workers", json=report).status_code == 204
    assert "none for queue default" in api.job(api.submit()["id"])["waiting_for"]
    assert us.job(us.submit()["id"])["waiting_for"] == "a worker of queue default"


@pytest.mark.parametrize("scope", ["submit", "work"])
def test_a_token_is_bound_to_queues(api: Api, scope: str) -> None:
    bound = member(api, "default", scope, queues=["night"])
    if scope == "submit":
        problem = assert_problem(bound.http.post("/v1/jobs", json=spec()), 403, "forbidden")
        assert bound.http.post("/v1/jobs", json=spec(queue="night")).status_code == 201
    else:
        job, night = api.submit(), api.submit(queue="night")
        problem = assert_problem(claim(api, job, bound), 403, "forbidden")
        asked = {"queues": ["night", "default"], "worker": worker_info(), "wait_seconds": 0}
        assert_problem(bound.http.post("/v1/attempts:next", json=asked), 403, "forbidden")
        report = {**worker_info(), "queues": ["default"], "busy": False}
        assert_problem(bound.http.post("/v1/workers", json=report), 403, "forbidden")
        assert next_of(bound, "night") == api.attempt(night["id"])["id"]
        assert claim(api, night, bound).status_code == 200
    assert "bound to other queues than default: name one of night" in problem["detail"]


def test_a_key_of_an_older_service_counts_in_the_default_project_alone(api: Api) -> None:
    """An older service stores a key without its principal."""
    us, headers = project(api), {"Idempotency-Key": "old"}
    job = api.http.post("/v1/jobs", json=spec(), headers=headers).json()["id"]
    with api.services.database.write() as session:
        session.execute(update(IdempotencyKey).values(principal=""))
    again = member(api, "default", "submit").http.post("/v1/jobs", json=spec(), headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, job)
    ours = us.http.post("/v1/jobs", json=spec(), headers=headers)
    assert (ours.status_code, ours.json()["project"]) == (201, "vision")


def test_the_space_that_others_use_is_not_told(start: Callable[..., Api]) -> None:
    api = start(data_bytes=300, code_bytes=3_000)
    us, content = project(api), bundle({"train.py": b"print(1)"})
    Push({"a/1.png": bytes(100)}).push(api)
    assert api.http.put(f"/v1/code/{sha256(content)}", content=content).status_code == 201
    other = bundle({"other.py": bytes(2_000)})
    assert (
        "uses all of 300 bytes" in assert_problem(put(us, sha256(bytes(250)), bytes(250)), 507, "data-quota")["detail"]
    )
    problem = assert_problem(us.http.put(f"/v1/code/{sha256(other)}", content=other), 507, "code-quota")
    assert "would use more than 3,000 bytes" in problem["detail"]


def test_a_key_of_one_token_is_free_for_another(api: Api) -> None:
    headers, one, two = {"Idempotency-Key": "k"}, member(api, "default", "submit", name="a"), api
    first = one.http.post("/v1/jobs", json=spec(), headers=headers).json()["id"]
    second = two.http.post("/v1/jobs", json=spec(name="other"), headers=headers)
    assert second.status_code == 201
    assert one.http.post("/v1/jobs", json=spec(), headers=headers).json()["id"] == first
    assert_problem(one.http.post("/v1/jobs", json=spec(name="other"), headers=headers), 422, "idempotency-key-reused")
