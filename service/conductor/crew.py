"""A few threads for calls to the store, given up as a whole when none of them makes progress."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.storage import StoreUnavailable

Tick = Callable[[], None]
LOOK_SECONDS = 0.5


@dataclass
class _Turn:
    """One run: what is left to do, and what came of the rest. `moved`: when anything last went on."""

    waiting: deque[tuple[str, Callable[[Tick], object]]]
    left: int
    outcomes: dict[str, Exception | None] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    moved: float = field(default_factory=time.monotonic)
    over: bool = False

    def tick(self) -> None:
        """Something went on."""
        self.moved = time.monotonic()

    def take(self) -> tuple[str, Callable[[Tick], object]] | None:
        """The next call, unless the turn is over."""
        with self.changed:
            return self.waiting.popleft() if self.waiting and not self.over else None

    def done(self, key: str, error: Exception | None) -> None:
        """A call came to its end."""
        with self.changed:
            self.tick()
            if not self.over:
                self.outcomes[key] = error
                self.left -= 1
                if isinstance(error, StoreUnavailable):  # the others would most likely meet the same
                    self.left -= len(self.waiting)
                    self.waiting.clear()
                self.changed.notify()


@dataclass(frozen=True)
class Result:
    """`errors`: what each call that ended raised, by key; None: nothing. `hung`: why the turn was given up."""

    errors: dict[str, Exception | None]
    hung: StoreUnavailable | None = None


class Crew:
    """Makes calls at the same time, in up to `threads` daemon threads that hold up no end of the process.

    `patience`: seconds without any progress after which a turn is given up. A thread whose call hangs is left behind
    and counts as one of `threads` until the call returns.
    """

    def __init__(self, threads: int, patience: float = 20.0) -> None:
        self._free = threading.Semaphore(threads)
        self._threads, self._patience = threads, patience

    def run(self, calls: Mapping[str, Callable[[Tick], object]]) -> Result:
        """Make the calls. A call tells of its progress by calling what it is given.

        After the first StoreUnavailable no further call is begun. The turn is given up where no call made progress
        within `patience`, or where all threads hang in calls of turns before.
        """
        if not calls:
            return Result({})
        turn = _Turn(deque(calls.items()), len(calls))
        started = sum(self._start(turn) for _ in range(min(self._threads, len(calls))))
        if not started:
            return Result(
                {}, StoreUnavailable(f"The store has not answered {self._threads} calls; look at its health.")
            )
        with turn.changed:
            while turn.left > 0:
                turn.changed.wait(LOOK_SECONDS)
                if turn.left > 0 and time.monotonic() - turn.moved > self._patience:
                    turn.over = True
                    hung = StoreUnavailable(f"The store has not answered for {self._patience:g} s; look at its health.")
                    return Result(dict(turn.outcomes), hung)
            turn.over = True
            return Result(turn.outcomes)

    def _start(self, turn: _Turn) -> bool:
        if not self._free.acquire(blocking=False):
            return False
        threading.Thread(target=self._work, args=(turn,), name="housekeeper", daemon=True).start()
        return True

    def _work(self, turn: _Turn) -> None:
        try:
            while (call := turn.take()) is not None:
                key, act = call
                try:
                    act(turn.tick)
                except Exception as error:
                    turn.done(key, error)
                else:
                    turn.done(key, None)
        finally:
            self._free.release()
