"""Users of the service: they submit jobs and control them, and repeat each request until it gets a response."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from baton.domain.states import JobState
from tests.control_plane.orders import DELETE, RETRY, Order, Wish
from tests.support.service import TOKEN

TRY_SECONDS, PATIENCE_SECONDS = 5.0, 120.0
CROWD, LATER_SECONDS = 40, 0.5
"""A user waits while this many jobs are open, because fault injection does not test how fast three workers are."""


@dataclass
class Users:
    """Sends the orders at their times, while few jobs are open. When `enough` is set, only the first `least` orders are
    sent.

    `open_jobs`: returns the number of jobs that have not ended. `accepted`: the job of each order that got a 201.
    `wrong`:
    responses that must not happen.
    """

    url: str
    orders: list[Order]
    seed: int
    open_jobs: Callable[[], int]
    least: int
    enough: bool = False
    accepted: dict[int, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    tries: int = 0
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def start(self) -> threading.Thread:
        """Start a thread that ends when all requests were sent."""
        thread = threading.Thread(target=self._run, name="users", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        begun = time.monotonic()
        for order in self.orders:
            self._at(begun + order.at, lambda order=order: self._submit(order))  # type: ignore[misc]
        with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=TRY_SECONDS) as self._http:
            while self._agenda:
                when, _, act = heapq.heappop(self._agenda)
                time.sleep(max(0.0, when - time.monotonic()))
                try:
                    act()
                except Exception as error:
                    self.wrong.append(repr(error))

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), act))

    def _submit(self, order: Order) -> None:
        if self.enough and order.number >= self.least:
            return
        if order.source is not None and order.source not in self.accepted:
            if not self.enough or order.source < self.least:  # else the other job is never submitted
                self._at(time.monotonic() + LATER_SECONDS, lambda: self._submit(order))
            return
        if self.open_jobs() >= CROWD:
            self._at(time.monotonic() + LATER_SECONDS, lambda: self._submit(order))
            return
        headers = {"Idempotency-Key": f"{self.seed}-{order.number}"}
        answer = self._ask("/v1/jobs", headers, self._request(order))
        if order.source is not None and answer.status_code == 422 and "from" in answer.text:
            # The other job has no checkpoint yet.
            self._at(time.monotonic() + LATER_SECONDS, lambda: self._submit(order))
            return
        if answer.status_code not in (200, 201):
            self.wrong.append(f"order {order.number} was answered {answer.status_code}: {answer.text}")
            return
        job = self.accepted[order.number] = str(answer.json()["id"])
        for wish in order.wishes:
            self._at(time.monotonic() + wish.after, lambda wish=wish: self._wish(job, wish))  # type: ignore[misc]

    def _request(self, order: Order) -> dict[str, Any]:
        if order.source is None:
            return order.spec
        return {**order.spec, "from": {"job": self.accepted[order.source], "checkpoint": "latest"}}

    def _wish(self, job: str, wish: Wish) -> None:
        if wish.action == DELETE:
            self._delete(job)
            return
        answer = self._ask(f"/v1/jobs/{job}/{wish.action}", {}, None)
        if wish.action == RETRY and answer.status_code == 409 and not self._succeeded(job):
            self._at(time.monotonic() + LATER_SECONDS, lambda: self._wish(job, wish))
        # 409: the job has ended in the meantime, or an earlier try was carried out and its response was lost.
        if answer.status_code not in (202, 409):
            self.wrong.append(f"{wish.action} of {job} was answered {answer.status_code}: {answer.text}")

    def _delete(self, job: str) -> None:
        answer = self._ask(f"/v1/jobs/{job}?force=true", {}, None, "DELETE")
        # 204: an earlier try was carried out and its response was lost.
        if answer.status_code not in (202, 204):
            self.wrong.append(f"the deletion of {job} was answered {answer.status_code}: {answer.text}")
        elif self._ask(f"/v1/jobs/{job}", {}, None, "GET").status_code != 404:
            self.wrong.append(f"job {job} is shown although it is deleted")

    def _succeeded(self, job: str) -> bool:
        return bool(self._ask(f"/v1/jobs/{job}", {}, None, "GET").json()["status"] == JobState.SUCCEEDED)

    def _ask(self, path: str, headers: dict[str, str], body: object, method: str = "POST") -> httpx.Response:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.tries += 1
            try:
                answer = self._http.request(method, self.url + path, headers=headers, json=body)
                if answer.status_code < 500:
                    return answer
                problem = f"{answer.status_code} {answer.text}"
            except httpx.HTTPError as error:
                problem = repr(error)
            if time.monotonic() > give_up:
                raise RuntimeError(f"no answer to {path} for {PATIENCE_SECONDS} s: {problem}")
            time.sleep(0.2)
