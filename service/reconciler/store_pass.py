"""Common parts of the store steps: batches, parallel calls, and isolated failures.

A step reads a batch of rows, handles them in several threads, and marks the successful ones together. If marking the
batch fails, each item is marked alone. A failed item is recorded with the time of its next try
(service.reconciler.isolation) and does not stop the others. If a batch was full, the step reads the next one
immediately, at most ROUNDS batches per run of the step.
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
    """One run of a step. `step`: its name in `pass_failures`."""

    step: str
    store: BlobStore
    isolation: Isolation
    pool: StorePool

    def run(self, find: Find, act: Act, mark: Mark, batch: int) -> None:
        """Handle batches until one is not full. `mark` gets the keys of the items that succeeded; it can be repeated.

        Raises StoreUnavailable if the store does not answer. No item is the cause of this, so the run ends.
        """
        for _ in range(ROUNDS):
            items = find()
            self._handle(items, act, mark)
            if len(items) < batch:
                return

    def _handle(self, items: Sequence[Item], act: Act, mark: Mark) -> None:
        result = self.pool.run({item.key: partial(act, item.key) for item in items})
        done = [item for item in items if item.key in result.errors]
        self.isolation.together(self.step, [item for item in done if result.errors[item.key] is None], mark)
        away = result.hung or self._away(result.errors.values())
        failed = [item for item in done if result.errors[item.key] is not None]
        if away is not None:
            failed = [item for item in failed if not isinstance(result.errors[item.key], StoreUnavailable)]
        # The items that were in progress when this run was ended are retried later. Otherwise the next runs would
        # begin with them again.
        late = {key: TimeoutError("the store did not answer for it in time") for key in result.unanswered}
        failed += [item for item in items if item.key in late]
        self.isolation.each(self.step, failed, partial(_raise_error, {**result.errors, **late}))
        if away is not None:
            raise away

    def _away(self, errors: Iterable[Exception | None]) -> StoreUnavailable | None:
        """The error if the whole store is unavailable. Checks the store, because a single item may raise it too."""
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
