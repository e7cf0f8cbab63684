"""Batches of a source with indices: a batch is a function of the seed, the epoch and its index."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from baton.data.batches import Batches
from baton.data.making import Maker
from baton.data.processes import Processes
from baton.data.threads import in_threads

DIFFERS = (
    "the source does not give the same sample for the same index. It has changed, or it draws random numbers that are "
    "no function of the seed: use `transform(sample, rng)` for what is random, or `processes` instead of `threads`"
)


class IndexedBatches(Batches):
    """Batches that reach a position at once.

    `threads`, `processes`: how many make batches ahead; without them, each batch is made when it is needed. `ahead`:
    how many batches are made before their turn.
    """

    resumes = "index"

    def __init__(
        self,
        maker: Maker,
        *,
        threads: int,
        processes: int,
        ahead: int,
        strict: bool,
        note: Callable[[str], object] | None,
    ) -> None:
        super().__init__(strict=strict, note=note)
        self._maker = maker
        self._threads, self._processes, self._ahead = threads, processes, ahead
        self._running: Processes | None = None
        self._told = False

    def __len__(self) -> int:
        return len(self._maker.plan)

    def identity(self) -> dict[str, Any]:
        """What decides the order."""
        return self._maker.plan.identity()

    def close(self) -> None:
        """End the open epoch, its threads, and the processes."""
        super().close()
        self._end_processes()

    def _made(self, epoch: int, start: int, expected: int | None) -> Generator[Any, None, None]:
        first = start - 1 if expected is not None and start > 0 else start
        made = self._from_processes(epoch, first) if self._processes else self._here(epoch, first)
        try:
            if first < start:
                self._compare(next(made), expected, DIFFERS)
            yield from made
        finally:
            made.close()

    def _here(self, epoch: int, start: int) -> Generator[Any, None, None]:
        maker = self._maker
        maker.begin(epoch)
        self._tell_of_generators()
        indices = range(start, len(self))
        if self._threads:
            arguments = ((epoch, maker.plan.indices(epoch, index)) for index in indices)
            yield from in_threads(maker.beside_others, arguments, threads=self._threads, ahead=self._ahead)
        else:
            for index in indices:
                yield maker.alone(epoch, index)

    def _from_processes(self, epoch: int, start: int) -> Generator[Any, None, None]:
        running = self._running
        if running is None or running.next_position != (epoch, start):
            self._end_processes()
            until = self._number if self._number is not None and epoch < self._number else None
            how = {"processes": self._processes, "ahead": self._ahead}
            running = Processes(self._maker, epoch, start, until=until, **how)
            self._running = running
        complete = False
        try:
            for _ in range(start, len(self)):
                yield next(running)
            complete = True
        finally:
            if not complete:
                self._end_processes()

    def _tell_of_generators(self) -> None:
        """Names once the generators of the source that draw other numbers after a restart."""
        own = self._maker.own
        found = [one.name for one in own.usable] if self._threads else []
        if not self._told and (found or own.refused):
            self._told = True
            why = "threads share it" if found else "its state cannot be set"
            self._tell(
                f"data: {', '.join([*found, *own.refused])}: {why}, so it draws other numbers after a restart. Use "
                "transform(sample, rng) for what is random"
            )

    def _end_processes(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None
