"""Common parts of the store steps: batches, parallel calls, and isolated failures.

A step reads a batch of rows, handles them in several threads, and marks the successful ones in one transaction.
A failed item is recorded with the time of its next try (service.reconciler.isolation) and does not stop the others.
The next batch follows a full batch at once, up to ROUNDS per turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from baton.storage import BlobStore, StoreUnavailable
from service.reconciler.isolation import Isolation, Item
from service.reconciler.store_pool import StorePool, Tick

BATCH, ROUNDS = 100, 10
Find = Callable[[], Sequence[Item]]
Act = Callable[[str, Tick], object]
Mark = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Pass:
    """One turn of a step. `step`: its name in `pass_failures`."""

    step: str
    store: BlobStore
    isolation: Isolation
    pool: StorePool

    def run(self, find: Find, act: Act, mark: Mark, batch: int) -> None:
        """Handle batches until one is not full. `mark` gets the keys of the items that succeeded.

        Raises StoreUnavailable if the store does not answer. This is not the fault of an item, so the turn ends.
        """
        for _ in range(ROUNDS):
            items = find()
            self._handle(items, act, mark)
            if len(items) < batch:
                return

    def _handle(self, items: Sequence[Item], act: Act, mark: Mark) -> None:
        result = self.pool.run({item.key: partial(act, item.key) for item in items})
        well = [key for key, error in result.errors.items() if error is None]
        if well:
            mark(well)
        away = result.hung or self._away(result.errors.values())
        ended = [item for item in items if item.key in result.errors]
        if away is not None:
            ended = [item for item in ended if not isinstance(result.errors[item.key], StoreUnavailable)]
        # Retry later what was in progress when the turn was given up. Otherwise the next turns find it first again.
        late = {key: TimeoutError("the store did not answer for it in time") for key in result.unanswered}
        ended += [item for item in items if item.key in late]
        self.isolation.each(self.step, ended, partial(_raise_error, {**result.errors, **late}))
        if away is not None:
            raise away

    def _away(self, errors: Iterable[Exception | None]) -> StoreUnavailable | None:
        """The error if the whole store is unavailable. A single item may also raise it, so check the store itself."""
        if not any(isinstance(error, StoreUnavailable) for error in errors):
            return None
        try:
            self.store.check()
        except StoreUnavailable as error:
            return error
        return None


def _raise_error(errors: Mapping[str, Exception | None], key: str) -> None:
    error = errors[key]
    if error is not None:
        raise error
