"""Copies the records of steps to the devices, for one step or for many steps together.

On a GPU each copy from the host waits until the GPU has done all earlier steps. With a copy for each step, the host
cannot submit the next step early, and the GPU is idle while the host prepares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from worker.training.step.batch import Batch
from worker.training.step.inputs import Rows, Share
from worker.training.step.records import Records, record
from worker.training.step.replicas import Replicas


class Uploads:
    """Copies the records of at most `steps` steps together. `wait` returns when the devices are idle."""

    def __init__(self, replicas: Replicas, steps: int, wait: Callable[[], None]) -> None:
        self._replicas, self._steps, self._wait = replicas, steps, wait

    def one(self, shares: Sequence[Share], rate: float) -> Records:
        """The record of one step."""
        pairs = zip(shares, self._replicas.devices, strict=True)
        return tuple(_copy(record(share, rate), device) for share, device in pairs)

    def ahead(self, batches: Iterable[Batch], rates: Iterable[float]) -> Iterator[Batch]:
        """The batches with their records on the devices. `rates`: the learning rate of each.

        Takes up to `steps` rates and batches before it yields the first batch. Batches with images from the host are
        yielded without a record, so that only one of them at a time is in memory.
        """
        group: list[tuple[Batch, float]] = []
        for batch, rate in zip(batches, rates, strict=False):
            if self._steps == 1 or not isinstance(batch.images, Rows):
                yield batch
                continue
            group.append((batch, rate))
            if len(group) == self._steps:
                yield from self._uploaded(group)
                group = []
        if group:
            yield from self._uploaded(group)

    def _uploaded(self, group: Sequence[tuple[Batch, float]]) -> Iterator[Batch]:
        # The devices run pending steps during the preparation, so the wait comes after it.
        shares = [self._replicas.shares(batch.images, batch.labels, batch.change) for batch, _ in group]
        rates = [rate for _, rate in group]
        tables = [
            np.stack([record(mine, rate) for mine, rate in zip(own, rates, strict=True)])
            for own in zip(*shares, strict=True)
        ]
        self._wait()
        columns = [_split(table, device) for table, device in zip(tables, self._replicas.devices, strict=True)]
        for (batch, _), *records in zip(group, *columns, strict=True):
            yield replace(batch, records=tuple(records))


def _copy(values: np.ndarray, device: str) -> tf.Tensor:
    with tf.device(device):
        return tf.constant(values)


def _split(table: np.ndarray, device: str) -> list[tf.Tensor]:
    """Copies the whole table to the device in one transfer. Returns the rows of the copy."""
    with tf.device(device):
        return list(tf.unstack(tf.constant(table)))
