"""Training batches augmented on the host: in this process, or ahead of time in helper processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec
from worker.training.data.image_data import Split
from worker.training.input.batch_plan import BatchPlan
from worker.training.input.pool import BatchPool
from worker.training.step.batch import Batch


class BatchSource:
    """The batches of one stage. They do not depend on the number of processes or on the first batch of an iteration.

    `processes`: helper processes that augment; 0: none. Policy "none" starts none. The helpers start at once and end
    with the thread that creates the source, so create it in a thread that lasts as long as the stage. `waiting`: called
    repeatedly while a helper does not answer; an exception that it raises ends the wait.
    """

    def __init__(
        self,
        split: Split,
        *,
        policy: str | AugmentationSpec,
        seed: int,
        stage: int,
        batch_size: int,
        steps_per_epoch: int,
        processes: int,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = BatchPlan(split, policy, seed, stage, batch_size, steps_per_epoch)
        self._pool = BatchPool(self._plan, processes, waiting) if processes > 0 and policy != "none" else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The helpers' process ids."""
        return self._pool.pids if self._pool else ()

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches first_batch..steps_per_epoch-1 of an epoch, both counted from 0. The consumer may stop early.

        Raises:
            JobFailure: augmentation_died, a helper died; exception, with the error of a helper.
        """
        images: Callable[[int, int], NDArray[np.uint8]] = self._pool.images if self._pool else self._plan.images
        for batch in range(first_batch, self._plan.steps_per_epoch):
            yield Batch(images(epoch, batch), self._plan.labels(epoch, batch))

    def close(self) -> None:
        """Ends the helper processes. Further calls do nothing."""
        if self._pool:
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
