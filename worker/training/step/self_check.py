"""Checks that this device computes the same bits in two runs of a training step. Exact resume depends on that."""

from __future__ import annotations

import logging
import time

from baton.domain.goodput import Bucket
from worker.attempt.protocols import Control
from worker.checkpointing.snapshot import Arrays
from worker.training.step.batch import Batch
from worker.training.step.engine import Engine

ADVICE = (
    "Exact resume cannot be guaranteed on this device. Set deterministic: true in the spec, or "
    "BATON_NONDETERMINISTIC_OPS=exclude on the worker, to use deterministic operations only"
)
log = logging.getLogger(__name__)


class SelfCheck:
    """Runs the first step of each stage twice more in this process, compares the results, and restores the state.

    `wanted`: "on", "off", or "auto": on GPUs. The time of the check counts as start-up. If the bits differ, it adds an
    event.
    """

    def __init__(self, wanted: str, engine: Engine, control: Control) -> None:
        self._engine, self._control = engine, control
        self._on = wanted == "on" or (wanted == "auto" and engine.on_gpu)
        self._done: set[int] = set()

    def before(self, stage: int, batch: Batch, rate: float) -> None:
        """Call it before each step. Only the call before the first step of a stage does a check."""
        if not self._on or stage in self._done:
            return
        self._done.add(stage)
        begun = time.monotonic()
        with self._control.watch.measure(Bucket.STARTUP):
            names = unequal_arrays(self._engine, batch, rate)
        if not names:
            log.info("two runs of one step gave equal bits; checked in %.2f s", time.monotonic() - begun)
            return
        text = f"two runs of one training step gave different bits in {len(names)} arrays, first {names[0]}. {ADVICE}"
        log.warning("%s", text)
        self._control.note("self_check_failed", text, {"stage": stage + 1, "arrays": len(names), "first": names[0]})


def unequal_arrays(engine: Engine, batch: Batch, rate: float) -> list[str]:
    """The arrays of the state that differ after two runs of the same step from the same state.

    Afterwards the engine's state is as before: weights, optimizer, seeds of dropout, sums of the epoch.
    """
    before = engine.arrays()
    one, other = (_arrays_after_step(engine, before, batch, rate) for _ in range(2))
    return [name for name, array in one.items() if array.tobytes() != other[name].tobytes()]


def _arrays_after_step(engine: Engine, before: Arrays, batch: Batch, rate: float) -> Arrays:
    try:
        engine.train_step(batch.images, batch.labels, rate, batch.change)
        return engine.arrays()
    finally:
        engine.load(before)
