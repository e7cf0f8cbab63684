"""How messages are sent: retries, delays, endpoints that are unreachable or hang, several senders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from service.db.notification_table import Notification
from service.db.types import db_now
from service.reconciler.notification_delivery import DeliveryLimits, Notifier
from tests.service.helpers import Api, assert_problem, eventually
from tests.service.notification_checks import end, rows
from tests.support.listener import Listener, listening


@pytest.fixture
def api(notifying: Callable[..., Api]) -> Api:
    return notifying()


def test_an_endpoint_that_was_away_gets_it_when_it_is_back(api: Api, listener: Listener) -> None:
    listener.stop()
    end(api)
    api.conduct()
    assert rows(api) == [("succeeded", 0, "ops", "waiting", 1)]
    listener.status = 500
    listener.start()
    eventually(lambda: api.conduct() or rows(api)[0][4] == 2)
    assert listener.posts == []
    listener.status = 200
    eventually(lambda: api.conduct() or listener.posts)
    assert rows(api) == [("succeeded", 0, "ops", "sent", 3)]
    assert len(listener.posts) == 1


def test_it_is_given_up_with_a_line_in_the_log(api: Api, listener: Listener) -> None:
    listener.status = 403
    job = end(api)
    eventually(lambda: api.conduct() or rows(api)[0][3] == "failed")
    event = api.items(job, "events")[-1]
    assert (event["kind"], event["actor"]) == ("notification_failed", "conductor")
    assert event["message"] == (
        "ops got no message that the job succeeded (tries: 3): the endpoint answered with HTTP status 403"
    )
    assert event["data"] == {"target": "ops", "notification": "succeeded", "count": 0, "tries": 3}
    assert api.job(job)["status"] == "succeeded"
    api.conduct()
    assert len(listener.paths) == 3


def test_a_target_that_is_configured_no_more_is_given_up_at_once(start: Callable[..., Api], api: Api) -> None:
    job = end(api)
    other = start(notify_urls="")
    other.conduct()
    assert other.items(job, "events")[-1]["message"].endswith("no such target is configured any more")
    assert rows(other)[0][3] == "failed"


def test_one_that_hangs_holds_up_neither_work_nor_other_targets(
    notifying: Callable[..., Api], listener: Listener
) -> None:
    with listening(hold=threading.Event()) as hanging:
        urls = f"hanging={hanging.url()}\nops={listener.url()}"
        api = notifying(notify_urls=urls, notify_timeout_seconds=2, conductor_seconds=0.05, notify_tries=100)
        jobs = [end(api, name=f"j{n}") for n in range(3)]
        eventually(lambda: len(set(listener.titles)) == 3)
        # The reconciler's other threads and the requests continue while one message waits for its response.
        hand = api.running()
        api.let_lease_run_out(hand.attempt_id)
        eventually(lambda: api.job(hand.job_id)["status"] == "recovering")
        assert all("notification_failed" not in api.kinds(job) for job in jobs)
        states = {(target, state) for _, _, target, state, _ in rows(api)}
        assert ("hanging", "sent") not in states
        assert ("hanging", "waiting") in states


def test_what_was_committed_is_sent_by_the_next_service(notifying: Callable[..., Api], listener: Listener) -> None:
    first = notifying()
    end(first)
    first.services.reconciler.stop()
    second = notifying()
    second.conduct()
    assert listener.titles == ["Baton: small succeeded"]


def test_a_death_while_it_is_sent_has_it_sent_again(api: Api, listener: Listener) -> None:
    """A message is sent at least once: if a send began and was not marked as done, the service cannot know whether it
    arrived.
    """
    end(api)
    died = Notifier(api.services.database, api.services.post, DeliveryLimits(3, 100.0, 0.001))
    ((number, _),) = died._waiting("ops")
    assert died._take(number) is not None
    api.conduct()
    assert listener.posts == []  # the message may still be on its way
    with api.services.database.write() as session:
        session.execute(update(Notification).values(next_at=db_now()))
    eventually(lambda: api.conduct() or listener.posts)
    assert rows(api) == [("succeeded", 0, "ops", "sent", 2)]


def test_two_that_send_at_once_send_it_once(api: Api, listener: Listener) -> None:
    for n in range(5):
        end(api, name=f"j{n}")
    barrier = threading.Barrier(2)

    def send() -> None:
        notifier = Notifier(api.services.database, api.services.post, DeliveryLimits(3, 100.0, 0.001))
        barrier.wait(60)
        notifier.send_due()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(listener.titles) == [f"Baton: j{n} succeeded" for n in range(5)]


def test_a_sender_that_was_suspended_sends_nothing(api: Api, listener: Listener) -> None:
    """The sender had reserved the message. The reservation ended, and another replica sent the message."""
    end(api)
    patience, times = DeliveryLimits(3, 100.0, 0.001), iter((0.0, 101.0))

    def clock() -> float:
        now = next(times)
        if now:
            with api.services.database.write() as session:
                session.execute(update(Notification).values(next_at=db_now()))
            Notifier(api.services.database, api.services.post, patience).send_due()
        return now

    Notifier(api.services.database, api.services.post, patience, clock=clock).send_due()
    assert listener.titles == ["Baton: small succeeded"]
    assert rows(api) == [("succeeded", 0, "ops", "sent", 2)]


def test_a_test_message_says_what_becomes_of_it(notifying: Callable[..., Api], listener: Listener) -> None:
    with listening(status=404) as wrong:
        api = notifying(notify_urls=f"ops={listener.url()},wrong={wrong.url()}", notify_targets="ops")
        assert api.http.get("/v1/notifications/targets").json()["items"] == [
            {"name": "ops", "default": True},
            {"name": "wrong", "default": False},
        ]
        found = api.http.post("/v1/notifications:test", json={})
        assert found.json()["items"] == [
            {"target": "ops", "sent": True, "problem": None},
            {"target": "wrong", "sent": False, "problem": "the endpoint answered with HTTP status 404"},
        ]
        assert api.http.post("/v1/notifications:test", json={"target": "ops"}).json()["items"][0]["sent"]
    assert listener.titles == ["Baton: a test"] * 2
    answer = api.http.post("/v1/notifications:test", json={"target": "nonesuch"})
    assert "existing targets: ops, wrong" in assert_problem(answer, 404, "not-found")["detail"]
    lines = api.http.get("/v1/audit").json()["items"]
    assert [line["message"] for line in lines] == ["test sent to ops", "test sent to ops, wrong"]


def test_one_test_at_a_time(notifying: Callable[..., Api]) -> None:
    with listening(hold=threading.Event()) as hanging:
        api = notifying(notify_urls=hanging.url())
        assert hanging.hold is not None
        answers: list[int] = []
        ask = lambda: answers.append(api.http.post("/v1/notifications:test", json={}).status_code)  # noqa: E731
        both = [threading.Thread(target=ask) for _ in range(2)]
        for thread in both:
            thread.start()
        eventually(lambda: answers == [409])
        hanging.hold.set()
        for thread in both:
            thread.join(60)
    assert answers == [409, 200]


def test_the_wait_between_two_tries_doubles(api: Api, listener: Listener) -> None:
    listener.status = 500
    end(api)
    notifier = Notifier(api.services.database, api.services.post, DeliveryLimits(9, 5.0, 600.0), draw=lambda: 0.0)
    waits = []
    for _ in range(3):
        before = time.time()
        notifier.send_due()
        with api.services.database.write() as session:
            waits.append(session.execute(select(Notification.next_at)).scalar_one().timestamp() - before)
            session.execute(update(Notification).values(next_at=db_now()))
    assert [round(wait / 300) for wait in waits] == [1, 2, 4]
