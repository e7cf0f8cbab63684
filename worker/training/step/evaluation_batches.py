"""How many images a network judges at a time: by the spec, and fewer where the device's memory does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from baton.domain.wire import EpochRow
from worker.attempt.protocols import Control
from worker.training.step.memory import MAX_WORDS

MOST = 256
PIXELS = MOST * 128 * 128
"""Of a batch: one float32 tensor of 64 channels takes 1.1 GB."""

ONE_TOO_MANY = "take a smaller image_size (or validation_image_size) or network.width, or a device with more memory"
log = logging.getLogger(__name__)


def evaluation_batch(spec: JobSpec, stage: int, pixels: int) -> int:
    """Images a batch when the network of a stage, counted from 1, judges images of `pixels` a side.

    256 up to 128 pixels; for larger images the largest power of two with at most PIXELS. But at least as many pixels as
    a training batch of the stage has: training fits on the device, and needs several times as much memory an image.
    A function of the spec alone, as the bits of a sum depend on how it is divided.
    """
    trained = spec.stages[stage - 1]
    by_pixels = 1 << max(0, (PIXELS // pixels**2).bit_length() - 1)
    by_training = trained.batch_size * trained.image_size**2 // pixels**2
    return max(1, min(MOST, max(by_pixels, by_training)))


def tell_halved(
    control: Control, spec: JobSpec, rows: Iterable[EpochRow], pixels: int, before: int, after: int
) -> None:
    """The event; and one more if another attempt of the job judged images of this size in larger batches."""
    data = {"image_size": pixels, "before": before, "after": after}
    text = f"{before} images of {pixels} px at a time do not fit on the device: evaluating {after} at a time"
    control.note("evaluation_batch_halved", text, data)
    if any(spec.stages[row.stage - 1].judged_at == pixels and row.attempt != control.attempt for row in rows):
        control.note("resumed_inexactly", f"resumed inexactly: {text}; they did before", data)


class EvaluationBatches:
    """The sizes of one job. `fitted`: size of the images in pixels -> the batch that fitted after the device's memory
    was full; a checkpoint keeps it, so that an attempt that resumes divides its sums in the same way.

    `told(pixels, before, after)`: called when a batch is halved.
    """

    def __init__(
        self, spec: JobSpec, told: Callable[[int, int, int], None] | None = None, fitted: dict[int, int] | None = None
    ) -> None:
        self._spec, self._told = spec, told
        self.fitted: dict[int, int] = {} if fitted is None else fitted

    def size(self, stage: int, pixels: int) -> int:
        """Images a batch, for the network of a stage, counted from 1."""
        wanted = evaluation_batch(self._spec, stage, pixels)
        return min(wanted, self.fitted.get(pixels, wanted))

    def halve(self, pixels: int, size: int, error: BaseException) -> None:
        """The device's memory did not suffice for a batch of `size` images.

        Raises:
            JobFailure: out_of_memory, it did not suffice for one image.
        """
        if size == 1:
            text = f"the device's memory is full with one image of {pixels} pixels a side: {ONE_TOO_MANY}"
            raise JobFailure(Reason.OUT_OF_MEMORY, f"{text}\n{str(error)[:MAX_WORDS]}") from error
        self.fitted[pixels] = size // 2
        log.warning("evaluating %d images at a time does not fit on the device: trying %d", size, size // 2)
        if self._told is not None:
            self._told(pixels, size, size // 2)
