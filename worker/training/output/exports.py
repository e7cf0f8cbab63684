"""Model files that plain Keras loads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import keras
import tensorflow as tf

from baton.domain.spec import JobSpec
from worker.checkpointing.snapshot import Arrays
from worker.training.step.networks import build_network

KERAS_FILE = "application/zip"


class ModelFiles:
    """Writes .keras files from host copies with a second network, on the CPU, while training continues.

    Call all writers in one thread: the first call builds the network.
    """

    def __init__(self, spec: JobSpec, classes: int) -> None:
        self._spec, self._classes = spec, classes

    @cached_property
    def _network(self) -> keras.Model:
        # Built at the first use, so that it does not delay the first step.
        with tf.device("/CPU:0"):
            return build_network(self._spec, self._classes)

    def writer(self, arrays: Arrays) -> Callable[[Path], None]:
        """A function that writes the network of a snapshot to a path."""
        values = [array for name, array in sorted(arrays.items()) if name.startswith("network/")]

        def write(path: Path) -> None:
            with tf.device("/CPU:0"):
                for variable, value in zip(self._network.variables, values, strict=True):
                    variable.assign(value)
                self._network.save(path)

        return write
