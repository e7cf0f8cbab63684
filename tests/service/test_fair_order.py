"""Within a priority the next worker goes to the project with the least recent device time."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush

import pytest

from service.db.tables import RecentUse
from service.reconciler.dispatch_window import SHARED_WINDOW
from tests.service.backlog import counted, plant
from tests.service.clock import MovedClock
from tests.service.dispatched import listed
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, WorkerHand, worker_info
from tests.service.of_projects import submitted
from tests.support.redis import RedisServer

HOUR, DAY = 3600.0, 86_400.0
WORKERS = 8


def offered(api: Api, name: str = "w1") -> str | None:
    body = {"worker": worker_info(name), "queues": ["default"], "wait_seconds": 0}
    found: str | None = api.http.post("/v1/attempts:next", json=body).json()["attempt_id"]
    return found


def taken(api: Api, name: str = "w1") -> WorkerHand | None:
    """The worker takes the attempt that it is offered."""
    attempt = offered(api, name)
    if attempt is None:
        return None
    hand = WorkerHand(api, attempt, "", name)
    answer = hand.claim()
    assert answer.status_code == 200, answer.text
    hand.grant = answer.json()
    hand.job_id = hand.grant["job_id"]
    return hand


def project_of(api: Api, hand: WorkerHand) -> str:
    return str(api.job(hand.job_id)["project"])


def test_three_projects_share_a_day_equally_though_one_submits_500_jobs_first(api: Api, clock: MovedClock) -> None:
    """Jobs take 20 minutes to 3 hours. One project comes first, another an hour later."""
    draw, used, ends = random.Random(7), Counter[str](), list[tuple[float, int]]()
    submitted(api, "first", 500)
    submitted(api, "second", 150)
    hands: list[WorkerHand | None] = [None] * WORKERS
    now, begun = 0.0, [0.0] * WORKERS
    late = False
    while now < DAY:
        if now >= HOUR and not late:
            submitted(api, "third", 150)
            late = True
        for number in range(WORKERS):
            if hands[number] is None:
                hands[number] = taken(api, f"w{number}")
                begun[number] = now
                heappush(ends, (now + draw.uniform(1200, 10_800), number))
        now, number = heappop(ends)
        clock.to(min(now, DAY))
        hand = hands[number]
        assert hand is not None
        used[project_of(api, hand)] += min(now, DAY) - begun[number]  # type: ignore[assignment]
        hand.finish("succeeded")
        hands[number] = None
    for number, hand in enumerate(hands):
        if hand is not None:
            used[project_of(api, hand)] += DAY - begun[number]  # type: ignore[assignment]
    assert sum(used.values()) == pytest.approx(WORKERS * DAY)
    assert {name: seconds / sum(used.values()) for name, seconds in used.items()} == {
        name: pytest.approx(1 / 3, rel=0.1) for name in ("first", "second", "third")
    }


def test_workers_that_start_together_are_divided_among_the_projects(api: Api, clock: MovedClock) -> None:
    assert clock.now  # it stands still
    submitted(api, "first", 5)
    submitted(api, "second", 2)
    submitted(api, "third", 1, priority="high")
    hands = [taken(api, f"w{number}") for number in range(8)]
    order = [project_of(api, hand) for hand in hands if hand is not None]
    assert order == ["third", "first", "second", "first", "second", "first", "first", "first"]


def test_a_job_that_ran_before_keeps_its_turn(api: Api) -> None:
    (job,) = submitted(api, "first")
    hand = taken(api)
    assert hand is not None
    submitted(api, "second")
    hand.finish("preempted")
    again = taken(api)
    assert again is not None
    assert again.job_id == job


def test_time_counts_less_with_its_age(api: Api, clock: MovedClock) -> None:
    for project, hours in (("first", 10.0), ("second", 6.0)):
        submitted(api, project)
        hand = taken(api)
        assert hand is not None
        clock.forward(hours * HOUR)
        hand.finish("succeeded")
        clock.forward(2 * DAY if project == "first" else 0.0)  # 10 hours count as 2.5 after two days
    for project in ("second", "first"):
        submitted(api, project)
    hand = taken(api)
    assert hand is not None
    assert project_of(api, hand) == "first"


@ON_BOTH
def test_messages_of_one_project_make_room_for_another(api: Api, redis_server: RedisServer) -> None:
    redis_server.client().flushall()
    first = submitted(api, "first", 300)
    api.conduct()
    assert len(listed(redis_server)) == 300
    (second,) = submitted(api, "second")
    api.conduct()
    window = listed(redis_server)
    assert api.attempt(second)["id"] in window
    assert len(window) == SHARED_WINDOW
    assert window[0] == api.attempt(first[0])["id"]
    # A worker that takes the message of the other project leaves the list to the first one again.
    assert WorkerHand(api, api.attempt(second)["id"], second).claim().status_code == 200
    for _ in range(2):
        api.conduct()
    assert len(listed(redis_server)) == 299 + 1
    assert api.kinds(first[-1]).count("dispatched") >= 1


def test_the_queue_shows_the_order_and_why_a_job_waits(api: Api) -> None:
    first, second = submitted(api, "first", 3), submitted(api, "second", 2, owner="bob")
    high = submitted(api, "first", 1, priority="high")
    (closed,) = submitted(api, "second", 1, queue="other")
    shown = api.http.get("/v1/queue").json()
    order = [high[0], second[0], first[0], second[1], first[1], first[2]]
    assert [one["job_id"] for one in shown["items"] if one["queue"] == "default"] == order
    assert [one["position"] for one in shown["items"]] == list(range(1, 8))
    assert shown["items"][1] | {"since": None} == {
        "position": 2, "job_id": second[0], "job_name": "small", "project": "second", "owner": "bob",
        "queue": "default", "priority": "normal", "attempt": 1, "ran_before": False, "since": None,
        "waiting_for": "a worker: none for queue default was seen within the last 2 min", "recent_hours": 0.0,
    }  # fmt: skip
    assert [one["job_id"] for one in api.http.get("/v1/queue?queue=other").json()["items"]] == [closed]
    few = api.http.get("/v1/queue?limit=2").json()
    assert ([one["job_id"] for one in few["items"]], few["more"]) == (order[:2], True)


@ON_SQLITE
def test_a_long_backlog_of_one_project_costs_nothing_more(api: Api) -> None:
    submitted(api, "second", 3)
    (like,) = submitted(api, "first")
    found = []
    for count in (200, 1000):
        plant(api, like, count)
        for _ in range(3):
            api.conduct()
        engines = (api.services.database.engine, api.services.leases.engine, api.services.reconciler._database.engine)
        with counted(*engines) as polled:
            attempt = offered(api)
        api.services.offers.take_back(str(attempt))
        with counted(*engines) as sent:
            for step in api.services.reconciler.sending:
                step.run(forced=True)
        with counted(*engines) as shown:
            assert len(api.http.get("/v1/queue?limit=20").json()["items"]) == 20
        found.append((polled, sent, shown))
    for few, many in zip(*found, strict=True):
        assert many.rows <= few.rows + 5
        assert many.steps <= 1.2 * few.steps + 10


@ON_BOTH
def test_attempts_of_a_project_that_end_together_all_count(api: Api, clock: MovedClock) -> None:
    hands = [api.claim(job, f"w{number}") for number, job in enumerate(submitted(api, "first", 12))]
    clock.forward(HOUR)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda hand: hand.finish("succeeded").status_code, hands))
    assert answers == [200] * 12
    with api.services.database.read() as session:
        used = session.get_one(RecentUse, "first").seconds
    assert used == pytest.approx(12 * HOUR, rel=0.02)
    assert api.http.get("/v1/usage?until=2100-01-01&since=2000-01-01").json()["total"]["hours"] == 12
