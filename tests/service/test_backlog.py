"""A long backlog, of any kind of job, makes no request slower and does not keep other jobs from starting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from baton.domain.queues import rq_queue
from service.api import metrics_collector
from service.db.operation_tables import PassFailure
from service.db.tables import Attempt, Job
from service.reconciler import placement_pass
from service.reconciler.dispatch_window import WINDOW
from service.usecases import worker_demand
from tests.service.backlog import Work, counted, plant
from tests.service.dispatched import listed
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, WorkerHand, worker_info
from tests.support.redis import RedisServer

pytestmark = ON_BOTH

FEW, MANY = 600, 2000
LATER = {"not_before": datetime.now(UTC) + timedelta(hours=1), "urgency": None, "needs_key": None}
NET = {"name": "my-net"}


def offered(api: Api, *extensions: str, queue: str = "default") -> str | None:
    worker = {**worker_info(), "extensions": extensions}
    answer = api.http.post("/v1/attempts:next", json={"worker": worker, "queues": [queue], "wait_seconds": 0})
    found: str | None = answer.json()["attempt_id"]
    return found


def know_net(api: Api) -> None:
    body = {**worker_info("w-net"), "queues": ["default"], "busy": False, "extensions": ["network/my-net"]}
    assert api.http.post("/v1/workers", json=body).status_code == 204


def work(api: Api, action: Callable[[], Any]) -> Work:
    """The most work of several calls: some steps process the rows in batches, and the last batch is small."""
    most = Work()
    for _ in range(8):
        with counted(api.services.database.engine, api.services.reconciler._database.engine) as found:
            action()
        most = Work(max(most.rows, found.rows), max(most.steps, found.steps))
    return most


def a_pass(api: Api) -> None:
    reconciler = api.services.reconciler
    for step in [*reconciler.quick, *reconciler.sending]:
        step.run(forced=True)
        assert step.failing is None, step.name


def poll_two(api: Api) -> None:
    """A worker asks for an attempt of a busy queue and of an empty queue."""
    body = {"worker": worker_info(), "queues": ["default", "empty"], "wait_seconds": 0}
    answer = api.http.post("/v1/attempts:next", json=body).json()
    api.services.offers.take_back(answer["attempt_id"])


ACTIONS: dict[str, Callable[[Api], object]] = {
    "pass": a_pass,
    "poll": poll_two,
    "poll-empty": lambda api: offered(api, queue="empty"),
    "keda": lambda api: api.http.get("/v1/queues/default"),
    "status": lambda api: api.http.get("/v1/jobs?limit=1"),
}


@ON_SQLITE
def test_nothing_costs_more_with_a_backlog(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_demand, "MOST", 100)
    monkeypatch.setattr(metrics_collector, "KEPT_SECONDS", -1.0)
    job = api.submit()["id"]
    found = []
    for count in (FEW, MANY):
        plant(api, job, count)
        plant(api, job, count, **LATER)
        for _ in range(20):
            a_pass(api)
        assert len(listed_all(api)) == WINDOW
        found.append({name: work(api, lambda act=act: act(api)) for name, act in ACTIONS.items()})
        scraped = work(api, lambda: api.http.get("/metrics"))
        found[-1]["scrape"] = Work(rows=scraped.rows)  # the scrape counts index entries, and its result is cached
    few, many = found
    for name, one in few.items():
        # Some rows are written once per period, not once per attempt: a slow machine writes a few more.
        assert many[name].rows <= one.rows + (MANY - FEW) // 100, name
        assert many[name].steps <= 1.2 * one.steps + (MANY - FEW) // 100, name


def listed_all(api: Api) -> list[str]:
    return [one.decode() for one in api.services.redis.lrange("rq:queue:baton:default:normal", 0, -1)]  # type: ignore[union-attr]


def behind(start: Callable[..., Api], what: str) -> Api:
    """A service in which many attempts that cannot start are queued before all others."""
    api = start(label_limits={"user:*": 1}, queue_limits={"closed": 0})
    know_net(api)
    changes: dict[str, Any] = {
        "unfulfillable": {"network": NET},
        "full label": {"labels": {"user": "ada"}},
        "full queue": {"queue": "closed"},
        "backoff": {},
    }[what]
    if what == "full label":
        api.running(labels={"user": "ada"})
    job = api.submit(priority="high", **changes)["id"]
    plant(api, job, 1500, **(LATER if what == "backoff" else {}))
    if what == "backoff":
        api.ask(job, "cancel")
    return api


@pytest.mark.parametrize("what", ["unfulfillable", "full label", "full queue", "backoff"])
def test_attempts_that_cannot_start_hide_no_others(
    start: Callable[..., Api], redis_server: RedisServer, what: str
) -> None:
    redis_server.client().flushall()
    api = behind(start, what)
    job = api.submit(labels={"user": "bob"})["id"]
    attempt = api.attempt(job)["id"]
    assert offered(api) == attempt
    api.conduct()
    assert api.kinds(job)[-1] == "dispatched"
    assert listed(redis_server) == [attempt]
    assert WorkerHand(api, attempt, job).claim().status_code == 200


def test_redis_holds_a_window(api: Api, redis_server: RedisServer) -> None:
    first = api.submit()["id"]
    plant(api, first, WINDOW + 100)
    for _ in range(3):
        api.conduct()
    before = listed(redis_server)
    assert len(before) == WINDOW
    assert before[0] == api.attempt(first)["id"]
    # An urgent job, a job of another queue and a recovering job do not wait for the window.
    high, other = api.submit(priority="high")["id"], api.submit(queue="other")["id"]
    hand = api.claim(first)
    hand.finish("preempted")
    api.conduct()
    assert [api.kinds(job)[-1] for job in (high, other, first)] == ["dispatched"] * 3
    again = listed(redis_server)
    assert again[0] == api.attempt(first)["id"]
    assert again[1:WINDOW] == before[1:]
    # A claim removes a message from the list, so that the next one is sent.
    api.conduct()
    assert len(listed(redis_server)) == WINDOW + 1
    assert listed(redis_server)[: len(again)] == again


def test_kinds_of_workers_share_the_window(api: Api, redis_server: RedisServer) -> None:
    know_net(api)
    plant(api, api.submit(network=NET)["id"], WINDOW + 200)
    for _ in range(3):
        api.conduct()
    assert len(listed(redis_server)) == WINDOW
    job = api.submit()["id"]
    api.conduct()
    assert listed(redis_server)[-1] == api.attempt(job)["id"]


def test_many_that_ran_before_are_sent_in_order(api: Api, redis_server: RedisServer) -> None:
    job = api.submit(queue="gpu")["id"]
    plant(api, job, WINDOW + 100, number=2, urgency=2)
    api.conduct()
    with api.services.database.read() as session:
        query = select(Attempt.id).where(Attempt.state == "queued").order_by(Attempt.urgency, Attempt.job_number)
        assert listed(redis_server, rq_queue("gpu", "normal")) == list(session.scalars(query))


def test_demand_is_counted_up_to_a_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_demand, "MOST", 50)
    plant(api, api.submit()["id"], 99)
    assert api.http.get("/v1/queues/default").json()["wanted"] == 50


# --- filling the columns by which waiting attempts are sorted ---


def forget_places(api: Api) -> None:
    """Clear the columns that an older release does not know, as if it had queued these attempts."""
    with api.services.database.write() as session:
        none = {"queue": None, "needs_key": None, "urgency": None, "job_number": None}
        session.execute(update(Attempt).values(**none))


def test_what_an_older_release_queued_is_placed(api: Api, redis_server: RedisServer) -> None:
    jobs = [api.submit(priority=name)["id"] for name in ("low", "high")]
    forget_places(api)
    assert offered(api) is None
    api.conduct()
    assert [offered(api), offered(api)] == [api.attempt(job)["id"] for job in reversed(jobs)]
    assert [len(listed(redis_server, rq_queue("default", name))) for name in ("high", "low")] == [1, 1]


@ON_SQLITE
def test_a_malformed_job_is_placed_alone_later(api: Api) -> None:
    broken, whole = api.submit()["id"], api.submit()["id"]
    attempt = api.attempt(whole)["id"]
    with api.services.database.write() as session:
        session.execute(text("UPDATE jobs SET labels = 'no JSON' WHERE id = :id"), {"id": broken})
    forget_places(api)
    for _ in range(2):
        api.conduct()
    assert offered(api) == attempt
    with api.services.database.read() as session:
        rows = session.scalars(select(PassFailure).where(PassFailure.step == placement_pass.STEP)).all()
    assert [(row.job_id, row.tries) for row in rows] == [(broken, 1)]


def test_malformed_columns_are_ignored(start: Callable[..., Api], redis_server: RedisServer) -> None:
    redis_server.client().flushall()
    api = start(label_limits={"user:*": 9})
    job = api.submit()["id"]
    with api.services.database.write() as session:
        session.execute(text("UPDATE jobs SET labels = '[]', needs = '{}' WHERE id = :id"), {"id": job})
    forget_places(api)
    api.conduct()
    assert offered(api) == api.attempt(job)["id"]
    assert WorkerHand(api, api.attempt(job)["id"], job).claim().status_code == 200


@ON_SQLITE
def test_a_malformed_job_hides_no_other_job(start: Callable[..., Api], redis_server: RedisServer) -> None:
    redis_server.client().flushall()
    api = start(label_limits={"user:*": 9})
    broken, whole = (api.submit(labels={"user": "ada"})["id"] for _ in range(2))
    with api.services.database.write() as session:
        session.execute(text("UPDATE jobs SET labels = 'x', needs = 'y' WHERE id = :id"), {"id": broken})
    api.conduct()
    assert api.kinds(whole)[-1] == "dispatched"


def test_a_clock_that_was_set_back_ends_a_backoff(api: Api) -> None:
    hand = api.running()
    hand.finish("failed")
    attempt = api.attempt(hand.job_id)["id"]
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    api.set_attempt(attempt, created_at=now + hour, not_before=now + hour)
    api.conduct()
    assert offered(api) == attempt
    assert WorkerHand(api, attempt, hand.job_id).claim().status_code == 200


def test_limits_that_changed_hold_for_what_was_queued_before(
    start: Callable[..., Api], redis_server: RedisServer
) -> None:
    redis_server.client().flushall()
    before = start()
    jobs = [before.submit(labels={"user": name})["id"] for name in ("ada", "ada", "bob")]
    api = start(label_limits={"user:*": 1})
    ada, later, bob = (api.attempt(job)["id"] for job in jobs)
    with api.services.database.read() as session:
        old = set(session.scalars(select(Attempt.needs_key)))
    assert old == {""}
    # The limits apply immediately, before the next pass fills the columns again.
    assert [offered(api), offered(api), offered(api)] == [ada, bob, None]
    for _ in range(2):
        api.conduct()
    with api.services.database.read() as session:
        keys = list(session.scalars(select(Attempt.needs_key).join(Job).order_by(Job.number)))
    assert keys[0] == keys[1] != keys[2]
    assert "" not in keys
    assert [api.kinds(job)[-1] for job in jobs] == ["dispatched", "queued", "dispatched"]
    assert later
