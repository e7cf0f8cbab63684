"""The batch size of evaluation: computed from the spec, and halved if the device's memory is full."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from baton.domain.wire import EpochRow
from worker.attempt.protocols import Control
from worker.training.step.memory import MAX_ERROR_TEXT

MOST = 256
PIXELS = MOST * 128 * 128
"""Maximum number of pixels in one batch. A float32 tensor with 64 channels then takes 1.1 GB."""

ONE_TOO_MANY = "take a smaller image_size (or validation_image_size) or network.width, or a device with more memory"
log = logging.getLogger(__name__)


def evaluation_batch(spec: JobSpec, stage: int, pixels: int) -> int:
    """Images per batch when the network of a stage, counted from 1, evaluates images of `pixels` x `pixels`.

    The number is 256 up to 128 pixels. For larger images it is the largest power of two with at most PIXELS in a batch.
    A batch has at least as many pixels as a training batch of the stage. Such a batch fits on the device, because
    training fits and needs several times as much memory per image. The number depends only on the spec, because the
    bits of a sum depend on its division into batches.
    """
    trained = spec.stages[stage - 1]
    by_pixels = 1 << max(0, (PIXELS // pixels**2).bit_length() - 1)
    by_training = trained.batch_size * trained.image_size**2 // pixels**2
    return max(1, min(MOST, max(by_pixels, by_training)))


def note_halved(
    control: Control, spec: JobSpec, rows: Iterable[EpochRow], pixels: int, before: int, after: int
) -> None:
    """Adds an event about the smaller batch; and a second one if an earlier attempt used larger batches."""
    data = {"image_size": pixels, "before": before, "after": after}
    text = f"{before} images of {pixels} px at a time do not fit on the device: evaluating {after} at a time"
    control.note("evaluation_batch_halved", text, data)
    if any(spec.stages[row.stage - 1].judged_at == pixels and row.attempt != control.attempt for row in rows):
        control.note("resumed_inexactly", f"resumed inexactly: {text}; an earlier attempt used larger batches", data)


class EvaluationBatches:
    """The batch sizes of one job. `fitted`: by image size in pixels, the batch size after the device's memory was full.
    Checkpoints store `fitted`, so that a resumed attempt divides its sums in the same way.

    `on_halved(pixels, before, after)`: called when a batch is halved.
    """

    def __init__(
        self,
        spec: JobSpec,
        on_halved: Callable[[int, int, int], None] | None = None,
        fitted: dict[int, int] | None = None,
    ) -> None:
        self._spec, self._on_halved = spec, on_halved
        self.fitted: dict[int, int] = {} if fitted is None else fitted

    def size(self, stage: int, pixels: int) -> int:
        """Images per batch, for the network of a stage, counted from 1."""
        wanted = evaluation_batch(self._spec, stage, pixels)
        return min(wanted, self.fitted.get(pixels, wanted))

    def halve(self, pixels: int, size: int, error: BaseException) -> None:
        """Halves the batch size, because `size` images did not fit into the device's memory.

        Raises:
            JobFailure: out_of_memory, one image did not fit.
        """
        if size == 1:
            text = f"the device's memory is full with one image of {pixels} pixels a side: {ONE_TOO_MANY}"
            raise JobFailure(Reason.OUT_OF_MEMORY, f"{text}\n{str(error)[:MAX_ERROR_TEXT]}") from error
        self.fitted[pixels] = size // 2
        log.warning("evaluating %d images at a time does not fit on the device: trying %d", size, size // 2)
        if self._on_halved is not None:
            self._on_halved(pixels, size, size // 2)
