"""Users at the service's front: they submit, and wish, until they are answered, whatever is lost on the way."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import httpx

from tests.control_plane.orders import Order, Wish
from tests.support.service import TOKEN

TRY_SECONDS, PATIENCE_SECONDS = 5.0, 120.0
CROWD, LATER_SECONDS = 40, 0.5
"""Who finds so many jobs open comes later: fault injection is no test of how much three workers get through."""


@dataclass
class Users:
    """Order as told, while there are few jobs open. Once there were `enough`, only the first `least` orders are made.

    `open_jobs`: how many have not ended. `accepted`: the job of each order that got its 201; `wrong`: answers that must
    not be.
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
        """In a thread that ends when all is asked."""
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
        if self.open_jobs() >= CROWD:
            self._at(time.monotonic() + LATER_SECONDS, lambda: self._submit(order))
            return
        headers = {"Idempotency-Key": f"{self.seed}-{order.number}"}
        answer = self._ask("/v1/jobs", headers, order.spec)
        if answer.status_code not in (200, 201):
            self.wrong.append(f"order {order.number} was answered {answer.status_code}: {answer.text}")
            return
        job = self.accepted[order.number] = str(answer.json()["id"])
        for wish in order.wishes:
            self._at(time.monotonic() + wish.after, lambda wish=wish: self._wish(job, wish))  # type: ignore[misc]

    def _wish(self, job: str, wish: Wish) -> None:
        answer = self._ask(f"/v1/jobs/{job}/{wish.action}", {}, None)
        # 409: the job has ended meanwhile, or the try before this one was heard and its answer was lost.
        if answer.status_code not in (202, 409):
            self.wrong.append(f"{wish.action} of {job} was answered {answer.status_code}: {answer.text}")

    def _ask(self, path: str, headers: dict[str, str], body: object) -> httpx.Response:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.tries += 1
            try:
                answer = self._http.post(self.url + path, headers=headers, json=body)
                if answer.status_code < 500:
                    return answer
                problem = f"{answer.status_code} {answer.text}"
            except httpx.HTTPError as error:
                problem = repr(error)
            if time.monotonic() > give_up:
                raise RuntimeError(f"no answer to {path} for {PATIENCE_SECONDS} s: {problem}")
            time.sleep(0.2)
