"""The number of workers that a queue could use, as an autoscaler reads it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.service.helpers import ON_BOTH, Api, assert_problem, worker_info

pytestmark = ON_BOTH

QUEUE = "/v1/queues/default"


def asked(api: Api, query: str = "", queue: str = QUEUE) -> tuple[int, int, int]:
    """The counts `waiting`, `held` and `wanted` of a queue."""
    answer = api.http.get(queue + query)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    assert view["queue"] == queue.rpartition("/")[2]
    return view["waiting"], view["held"], view["wanted"]


def test_what_waits_and_what_is_held_is_wanted(api: Api) -> None:
    assert asked(api) == (0, 0, 0)
    jobs = [api.submit()["id"] for _ in range(3)]
    api.submit(queue="other")
    assert asked(api) == (3, 0, 3)
    hand = api.claim(jobs[0])
    assert asked(api) == (2, 1, 3)
    assert asked(api, queue="/v1/queues/other") == (1, 0, 1)
    hand.beat("training")
    hand.finish("succeeded")
    api.ask(jobs[1], "cancel")
    assert asked(api) == (1, 0, 1)


def test_what_no_worker_could_start_is_not_wanted(start: Callable[..., Api]) -> None:
    api = start(queue_limits={"default": 2})
    jobs = [api.submit()["id"] for _ in range(4)]
    assert asked(api) == (2, 0, 2)
    api.claim(jobs[0])
    assert asked(api) == (1, 1, 2)
    for job in jobs[1:]:
        api.set_attempt(api.attempt(job)["id"], not_before=datetime.now(UTC) + timedelta(hours=1), urgency=None)
    assert asked(api) == (0, 1, 1)


def test_a_pool_counts_what_its_own_workers_hold(api: Api) -> None:
    api.claim(api.submit()["id"], "gpu_pool-abc-1")
    api.claim(api.submit()["id"], "colab-7")
    api.submit()
    assert asked(api) == (1, 2, 3)
    assert asked(api, "?worker=gpu_pool-") == (1, 1, 2)
    # `_` stands for itself, not for any character as in SQL's LIKE.
    assert asked(api, "?worker=gpu-pool-") == (1, 0, 1)


def test_what_needs_an_extension_wants_workers_that_have_it(api: Api) -> None:
    info = {**worker_info(), "queues": ["default"], "busy": False, "extensions": ["network/my-net"]}
    assert api.http.post("/v1/workers", json=info).status_code == 204
    api.submit(network={"name": "my-net"})
    api.submit()
    assert asked(api) == (1, 0, 1)
    assert asked(api, "?extension=dataset/x&extension=network/my-net") == (2, 0, 2)


@pytest.mark.parametrize("path", ["/v1/queues/Not%20One", f"{QUEUE}?worker=%25", f"{QUEUE}?extension=thing/x"])
def test_nonsense_is_refused_with_its_name(api: Api, path: str) -> None:
    assert_problem(api.http.get(path), 422, "invalid-request")


def test_strangers_learn_nothing(api: Api) -> None:
    assert api.http.get(QUEUE, headers={"Authorization": ""}).status_code == 401
