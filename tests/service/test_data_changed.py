"""A worker has other data than the checkpoint records.

The job goes to another worker first. If that fails too, the job pauses for its owner.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from baton.domain.notifications import NotificationKind
from baton.domain.retry_policy import PASSED_OVER_SECONDS
from service.db.tables import Attempt, Job, Worker
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.usecases.notification_text import title
from service.usecases.worker_avoidance import others
from tests.service.helpers import Api, WorkerHand, assert_problem, eventually, worker_info
from tests.support.listener import listening

TEXT = "the data is not what it was: 1 class renamed: cat -> lion"
RETRY = {"max_failures": 0, "max_attempts_without_progress": 1, "backoff": 0}


def there(api: Api, *names: str, **more: Any) -> None:
    """Report these workers as idle, waiting for work."""
    for name in names:
        body = {**worker_info(name), "queues": ["default"], "busy": False, **more}
        assert api.http.post("/v1/workers", json=body).status_code == 204


def started(api: Api) -> str:
    """A job with a checkpoint whose worker was preempted."""
    hand = api.running("w0", retry=RETRY)
    hand.checkpoint(5)
    hand.finish("preempted")
    return hand.job_id


def finds_other_data(api: Api, job_id: str, name: str) -> dict[str, Any]:
    hand = api.claim(job_id, name)
    hand.beat("loading")
    answer = hand.finish("failed", reason="data_changed", message=TEXT, phase="restoring")
    assert answer.status_code == 200, answer.text
    return api.job(job_id)


def offer(api: Api, job_id: str, name: str) -> WorkerHand:
    return WorkerHand(api, api.attempt(job_id)["id"], job_id, name)


def test_the_only_worker_pauses_the_job_and_may_have_it_again_at_once(api: Api) -> None:
    there(api, "w1")
    there(api, "w2", queues=["other"])
    job_id = started(api)
    job = finds_other_data(api, job_id, "w1")
    assert (job["status"], job["reason"], job["message"]) == ("paused", "data_changed", TEXT)
    assert job["checkpoint"]["global_step"] == 5
    assert api.kinds(job_id)[-2:] == ["attempt_failed", "paused"]
    assert api.items(job_id, "events")[-1]["message"] == f"job paused: {TEXT}"
    assert api.ask(job_id, "resume").json()["status"] == "queued"
    hand = api.claim(job_id, "w1")
    assert hand.grant["checkpoints"][0]["position"]["global_step"] == 5
    hand.beat("training")
    assert hand.finish("succeeded").status_code == 200
    assert api.job(job_id)["status"] == "succeeded"


def test_another_worker_comes_first_and_goes_on(api: Api) -> None:
    there(api, "w1", "w2")
    job_id = started(api)
    job = finds_other_data(api, job_id, "w1")
    assert (job["status"], job["reason"]) == ("recovering", "data_changed")
    assert "other than the last one" in job["waiting_for"]
    refused = assert_problem(offer(api, job_id, "w1").claim(), 409, "passed-over")
    assert "attempt 2 ended there with data_changed: other workers come first" in refused["detail"]
    # The message is sent again after a moment, as for any worker that is refused the job.
    eventually(lambda: offer(api, job_id, "w2").claim().status_code == 200)
    assert api.job(job_id)["reason"] is None


def test_two_stale_copies_pause_it_and_cost_no_budget(api: Api) -> None:
    there(api, "w1", "w2", "w3")
    job_id = started(api)
    assert finds_other_data(api, job_id, "w1")["status"] == "recovering"
    assert finds_other_data(api, job_id, "w2")["status"] == "paused"
    api.ask(job_id, "resume")
    # The owner restored the data, so what workers found before does not count.
    assert finds_other_data(api, job_id, "w1")["status"] == "recovering"
    hand = api.claim(job_id, "w3")
    hand.beat("training")
    hand.checkpoint(9)
    hand.finish("preempted")
    # It also does not count after an attempt that trained, because the data of that worker is right.
    assert finds_other_data(api, job_id, "w1")["status"] == "recovering"


def test_where_no_other_worker_takes_it_in_time_the_first_decides(api: Api) -> None:
    there(api, "w1", "w2")
    job_id = started(api)
    finds_other_data(api, job_id, "w1")
    ended = api.items(job_id, "attempts")[-2]
    assert ended["reason"] == "data_changed"
    api.set_attempt(ended["id"], finished_at=datetime.now(UTC) - timedelta(seconds=PASSED_OVER_SECONDS + 1))
    assert finds_other_data(api, job_id, "w1")["status"] == "paused"


def crowd(api: Api, count: int, **columns: Any) -> None:
    """Insert this many workers that were seen later than all others."""
    with api.services.database.write() as session:
        now = Unit(session).now()
        row = {**worker_info(), "busy": False, "last_seen_at": now + timedelta(seconds=1), "extensions": [], **columns}
        session.execute(insert(Worker), [{**row, "name": f"{columns} {n}"[:200]} for n in range(count)])


def has_others(api: Api, hand: WorkerHand) -> bool:
    with api.services.database.read() as session:
        unit = Unit(session)
        attempt = session.execute(select(Attempt).where(Attempt.id == hand.attempt_id)).scalar_one()
        return others(unit, unit.find_job(hand.job_id), attempt)


@pytest.mark.parametrize("needs", [[], ["network/my_net"]])
def test_another_worker_is_found_among_many_and_among_bad_rows(api: Api, needs: list[str]) -> None:
    hand = api.running("w1")
    there(api, "w1", "w2", extensions=needs)
    with api.services.database.write() as session:
        session.execute(update(Job).values(needs=[*needs, "odd"]))
    for queues in ({"default": 1}, '"default"', 7, ["other"]):
        crowd(api, 150, queues=queues)
    crowd(api, 150, queues=["default"], extensions=needs, refusal="another store")
    crowd(api, 150, queues=["default"], extensions=needs, spec_version=0)
    if api.services.database.engine.dialect.name == "sqlite":  # PostgreSQL refuses text that is not JSON
        with api.services.database.write() as session:
            session.execute(text("""UPDATE workers SET queues = '["default",' WHERE queues LIKE '%other%'"""))
    assert has_others(api, hand)
    with api.services.database.write() as session:
        session.execute(update(Worker).where(Worker.name == "w2").values(ended_at=db_now()))
    assert not has_others(api, hand)


def test_what_the_owner_wants_comes_first(api: Api) -> None:
    for action, status in (("cancel", "cancelled"), ("pause", "paused")):
        there(api, "w1")
        job_id = started(api)
        hand = api.claim(job_id, "w1")
        api.ask(job_id, action)
        hand.finish("failed", reason="data_changed", message=TEXT)
        assert api.job(job_id)["status"] == status


def test_each_pause_is_told_of(start: Callable[..., Api]) -> None:
    with listening() as listener:
        api = start(notify_urls=f"ops={listener.url('ops')}")
        there(api, "w1")
        job_id = started(api)
        for _ in range(2):
            assert finds_other_data(api, job_id, "w1")["status"] == "paused"
            api.ask(job_id, "resume")
        hand = api.claim(job_id)
        assert hand.finish("failed", reason="bad_data").status_code == 200
        api.conduct()
        assert listener.titles == ["Baton: small could not continue and is paused"] * 2 + ["Baton: small failed"]


def test_the_notification_says_that_the_job_is_paused() -> None:
    job = Job(id="0" * 32, name="small", state="paused")
    assert title(job, NotificationKind.FAILED) == "Baton: small could not continue and is paused"
    job.state = "failed"
    assert title(job, NotificationKind.FAILED) == "Baton: small failed"
