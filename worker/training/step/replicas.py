"""The devices of one machine that train one network together: each takes an equal share of every batch.

Data parallel training by tf.distribute (MirroredStrategy): https://www.tensorflow.org/guide/distributed_training
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from worker.training.step.inputs import Change, Images, Labels, Rows, Share


class Replicas:
    """One device or several. Between two steps, the variables of all devices are equal."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._strategy = tf.distribute.MirroredStrategy(list(devices)) if len(devices) > 1 else None
        self.devices, self.count = tuple(devices), len(devices)

    def scope(self) -> AbstractContextManager[object]:
        """The context in which variables are created on all devices."""
        return self._strategy.scope() if self._strategy else nullcontext()

    def shares(self, images: Images, labels: Labels, change: Change | None) -> list[Share]:
        """The share of each device. The number of devices must divide the batch size. Each device has its own seed."""
        if self.count == 1:
            return [Share(images, labels, change)]
        parts = np.split(np.arange(len(labels)), self.count)
        return [Share(_selected(images, p), labels[p], _with_own_seed(change, k)) for k, p in enumerate(parts)]

    def spread(self, arguments: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Turns one tuple of arguments per device into the arguments of a step, each with a value for every device."""
        if self._strategy is None:
            return arguments[0]
        return [self._distributed(values) for values in zip(*arguments, strict=True)]

    def _distributed(self, values: Sequence[Any]) -> Any:
        assert self._strategy is not None
        if values[0] is None:
            return None
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group]
        )

    def run(self, step: Callable[..., None], arguments: Sequence[Any]) -> None:
        """Runs the step on each device. Call it within a tf.function."""
        assert self._strategy is not None
        self._strategy.run(step, args=tuple(arguments))

    def average(self, variables: Sequence[Any]) -> None:
        """Averages the statistics of batch normalisation over all devices. Call it within a step."""
        moving = [v.value for v in variables if v.dtype.startswith("float")]
        context = tf.distribute.get_replica_context()
        for variable, mean in zip(moving, context.all_reduce("MEAN", [v.read_value() for v in moving]), strict=True):
            variable.assign(mean)


def one_of(variable: Any) -> tf.Variable:
    """The first device's copy of a variable. Between two steps all copies are equal."""
    return variable.values[0] if isinstance(variable, tf.distribute.DistributedValues) else variable


def _selected(images: Images, places: np.ndarray) -> Images:
    return Rows(images.held, images.rows[places]) if isinstance(images, Rows) else images[places]


def _with_own_seed(change: Change | None, device: int) -> Change | None:
    if change is None:
        return None
    first, second = (int(word) for word in change.seed)
    return Change(change.augmentation, np.array([first, second ^ device], dtype=np.int32))
