"""Images that the device holds: copied there once, picked by number inside the compiled step."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core.gpu import gpus
from worker.training.inputs import Held

# The rest is for the network: its variables, its activations, what XLA tries out.
SHARE = 0.25
log = logging.getLogger(__name__)


class Shelf:
    """The arrays of images that devices hold, at most `capacity` bytes of them on each.

    Given to a step as arguments: as constants of the compiled program they would take minutes to compile.
    """

    def __init__(self, devices: Sequence[str], capacity: int | None = None) -> None:
        self._devices, self._capacity = devices, device_share() if capacity is None else capacity
        self._arrays: dict[int, tuple[NDArray[np.uint8], Held]] = {}

    def keep_only(self, *wanted: NDArray[np.uint8]) -> None:
        """Lets go of all others: to be called before new ones are put up."""
        names = {id(images) for images in wanted}
        self._arrays = {name: entry for name, entry in self._arrays.items() if name in names}

    def hold(self, images: NDArray[np.uint8]) -> Held | None:
        """The same images on each device, or None where they do not fit."""
        if id(images) not in self._arrays:
            if self._held + images.nbytes > self._capacity:
                log.info("%d MB of images stay with the host: the device may hold %d", *_mb(images.nbytes, self._room))
                return None
            self._arrays[id(images)] = (images, tuple(_copy(images, device) for device in self._devices))
        return self._arrays[id(images)][1]

    @property
    def _held(self) -> int:
        return sum(images.nbytes for images, _ in self._arrays.values())

    @property
    def _room(self) -> int:
        return self._capacity - self._held


def _copy(images: NDArray[np.uint8], device: str) -> tf.Tensor:
    begun = time.monotonic()
    with tf.device(device):
        copied = tf.constant(np.asarray(images))
    log.info("%s holds %d MB of images, copied in %.2f s", device, *_mb(images.nbytes), time.monotonic() - begun)
    return copied


def _mb(*sizes: int) -> tuple[int, ...]:
    return tuple(size // 1_000_000 for size in sizes)


def training_devices() -> tuple[str, ...]:
    """Where steps run: every GPU that TensorFlow may use, or the CPU. Tests divide the CPU into several devices."""
    gpus = tuple(f"GPU:{k}" for k in range(len(tf.config.get_visible_devices("GPU"))))
    return gpus or tuple(f"CPU:{k}" for k in range(_logical_cpus()))


def _logical_cpus() -> int:
    (cpu,) = tf.config.list_physical_devices("CPU")
    return len(tf.config.get_logical_device_configuration(cpu) or (None,))


def device_share() -> int:
    """Bytes that images may take on the device that trains: a share of its memory."""
    on_gpu = tf.config.list_physical_devices("GPU")
    total = gpus()[0].memory if on_gpu and gpus() else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(SHARE * total)
