"""A small thread pool for calls to the store. A run is ended early when none of its calls makes progress."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from baton.storage import StoreUnavailable

Tick = Callable[[], None]
LOOK_SECONDS = 0.5
SPARES = 3


@dataclass
class _Turn:
    """One run: the calls that are left and the results so far. `moved`: time of the last progress.

    `begun`: calls in progress. `replaced`: threads of this run that hang and no longer count.
    """

    waiting: deque[tuple[str, Callable[[Tick], object]]]
    left: int
    begun: set[str] = field(default_factory=set)
    replaced: int = 0
    outcomes: dict[str, Exception | None] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    moved: float = field(default_factory=time.monotonic)
    over: bool = False

    def tick(self) -> None:
        """Record progress."""
        self.moved = time.monotonic()

    def take(self) -> tuple[str, Callable[[Tick], object]] | None:
        """The next call. None if the run is over."""
        with self.changed:
            if not self.waiting or self.over:
                return None
            call = self.waiting.popleft()
            self.begun.add(call[0])
            return call

    def done(self, key: str, error: Exception | None) -> None:
        """Record that a call has ended."""
        with self.changed:
            self.tick()
            self.begun.discard(key)
            if not self.over:
                self.outcomes[key] = error
                self.left -= 1
                if isinstance(error, StoreUnavailable):  # the other calls would probably fail in the same way
                    self.left -= len(self.waiting)
                    self.waiting.clear()
                self.changed.notify()


@dataclass(frozen=True)
class Result:
    """`errors`: the exception of each call that ended, by key; None if it succeeded. `hung`: why the run ended early.

    `unanswered`: the calls that were in progress when the run ended early.
    """

    errors: dict[str, Exception | None]
    hung: StoreUnavailable | None = None
    unanswered: frozenset[str] = frozenset()


class StorePool:
    """Makes calls in parallel, in up to `threads` daemon threads. These threads do not delay the end of the process.

    `patience`: seconds without progress after which a run ends early. It must be longer than any call that reports no
    progress. A thread whose call hangs is abandoned and replaced, up to SPARES times `threads`, so that one unreadable
    file does not block all other files.
    """

    def __init__(self, threads: int, patience: float = 20.0) -> None:
        self._free = threading.Semaphore(threads)
        self._threads, self._patience = threads, patience
        self._lock = threading.Lock()
        self._hanging: set[str] = set()
        self._left_behind = 0

    def run(self, calls: Mapping[str, Callable[[Tick], object]]) -> Result:
        """Make the calls. Each call gets a function that it calls to report progress.

        After the first StoreUnavailable no further call starts. The run ends early if no call makes progress within
        `patience`, or if calls of earlier runs block all threads.
        """
        with self._lock:  # do not repeat a call that still hangs since an earlier run
            new = {key: call for key, call in calls.items() if key not in self._hanging}
        if not new:
            return Result({})
        turn = _Turn(deque(new.items()), len(new))
        started = sum(self._start(turn) for _ in range(min(self._threads, len(new))))
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
                    unanswered = frozenset(turn.begun)
                    self._replace(turn, unanswered)
                    return Result(dict(turn.outcomes), hung, unanswered)
            turn.over = True
            return Result(turn.outcomes)

    def _replace(self, turn: _Turn, unanswered: frozenset[str]) -> None:
        """Replace the threads that hang, up to the limit."""
        with self._lock:
            self._hanging |= unanswered
            turn.replaced = min(len(unanswered), SPARES * self._threads - self._left_behind)
            self._left_behind += turn.replaced
        for _ in range(turn.replaced):
            self._free.release()

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
                with self._lock:
                    self._hanging.discard(key)
        finally:
            self._end(turn)

    def _end(self, turn: _Turn) -> None:
        with self._lock:
            was_replaced = turn.replaced > 0
            if was_replaced:
                turn.replaced -= 1
                self._left_behind -= 1
        if not was_replaced:
            self._free.release()
