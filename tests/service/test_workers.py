"""The table of workers: one row for each supervisor, with the attempt that it holds, and how the worker ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.service.clock import MovedClock
from tests.service.helpers import ON_BOTH, Api, worker_info

pytestmark = ON_BOTH


def report(api: Api, name: str = "w1", **more: Any) -> None:
    body = {**worker_info(name), "queues": ["default"], "busy": False, **more}
    assert api.http.post("/v1/workers", json=body).status_code == 204


def listed(api: Api) -> list[dict[str, Any]]:
    return list(api.http.get("/v1/workers").json()["items"])


def states(api: Api) -> dict[str, str]:
    return {one["name"]: one["state"] for one in listed(api)}


def counted(api: Api) -> dict[str, int]:
    lines = [line for line in api.http.get("/metrics").text.splitlines() if line.startswith("baton_workers{")]
    return {line.split('"')[1]: int(float(line.split()[-1])) for line in lines}


def test_the_training_processes_of_a_worker_are_one_row_with_its_job(api: Api, clock: MovedClock) -> None:
    report(api)
    for number in range(5):
        clock.to(number)
        report(api)
        api.running("w1").finish("succeeded")
    clock.to(50)
    hand = api.running("w1")
    (row,) = listed(api)
    assert (row["state"], row["job_id"], row["job_name"], row["attempt"]) == ("busy", hand.job_id, "small", 1)
    assert (row["queues"], row["pid"]) == (["default"], 7)
    assert row["since"] == clock.begun.isoformat().replace("+00:00", "Z")


def test_a_heartbeat_keeps_the_row_alive_and_busy(api: Api, clock: MovedClock) -> None:
    hand = api.running("w1")
    clock.to(100)
    assert states(api) == {"w1": "lost"}
    hand.beat("training")
    assert states(api) == {"w1": "busy"}


def test_a_worker_is_idle_as_soon_as_it_gave_its_attempt_back(api: Api) -> None:
    hand = api.running("w1")
    report(api, busy=True)
    hand.finish("succeeded")
    assert states(api) == {"w1": "idle"}


def test_a_silent_worker_is_lost_and_one_that_said_goodbye_has_ended(api: Api, clock: MovedClock) -> None:
    for name in ("silent", "a-clean-end", "b-clean-end", "lively"):
        report(api, name)
    clock.to(5)
    report(api, "a-clean-end", ended=True)
    clock.to(10)
    report(api, "b-clean-end", ended=True, busy=True)
    clock.to(100)
    report(api, "lively")
    expected = {"lively": "idle", "silent": "lost", "b-clean-end": "ended", "a-clean-end": "ended"}
    assert (states(api), list(states(api))) == (expected, list(expected))
    assert [one["ended_at"] is not None for one in listed(api)] == [False, False, True, True]
    assert counted(api) == {"idle": 1, "lost": 1, "ended": 2, "busy": 0, "refused": 0, "resting": 0}
    clock.to(3610)
    report(api, "lively")
    assert states(api) == {"lively": "idle", "silent": "lost"}


def test_a_worker_that_ended_is_none_that_a_job_could_wait_for(api: Api) -> None:
    report(api)
    job_id = api.submit()["id"]
    assert api.job(job_id)["waiting_for"] == "a worker of queue default"
    report(api, ended=True)
    assert "none for queue default" in api.job(job_id)["waiting_for"]


def test_a_restarted_worker_takes_over_the_row_of_its_name(api: Api, clock: MovedClock) -> None:
    report(api)
    clock.to(10)
    report(api, ended=True)
    clock.to(20)
    report(api, pid=8)
    (row,) = listed(api)
    assert (row["state"], row["ended_at"], row["pid"]) == ("idle", None, 8)
    assert row["since"] > clock.begun.isoformat()
    # A late report of its predecessor does not change it.
    report(api, pid=7, ended=True)
    assert states(api) == {"w1": "idle"}


def test_a_worker_that_takes_no_work_is_listed_with_the_reason(api: Api) -> None:
    why = "TensorFlow cannot use the GPU: libcudnn.so.9 cannot be loaded"
    report(api, problem=why)
    (row,) = listed(api)
    assert (row["state"], row["refusal"]) == ("refused", why)
    assert counted(api)["refused"] == 1
    report(api)
    assert states(api) == {"w1": "idle"}


def test_a_resting_worker_says_until_when_and_why(api: Api, clock: MovedClock) -> None:
    report(api, rest={"seconds": 240.0, "why": "3 crashes (process_died)"})
    (row,) = listed(api)
    assert (row["state"], row["rests_why"]) == ("resting", "3 crashes (process_died)")
    assert row["rests_until"] == (clock.begun + timedelta(seconds=240)).isoformat().replace("+00:00", "Z")
    assert (counted(api)["resting"], counted(api)["idle"]) == (1, 0)
    job_id = api.submit()["id"]
    assert "after crashes they rest until" in api.job(job_id)["waiting_for"]
    report(api, "w2")
    assert api.job(job_id)["waiting_for"] == "a worker of queue default"
    report(api)
    assert [(one["state"], one["rests_until"], one["rests_why"]) for one in listed(api)] == [("idle", None, None)] * 2


def test_a_rest_ends_by_itself(api: Api, clock: MovedClock) -> None:
    report(api, rest={"seconds": 20.0, "why": "3 crashes (process_died)"})
    clock.to(21)
    assert states(api) == {"w1": "idle"}
