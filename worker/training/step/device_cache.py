"""Images in device memory: copied to it once, and selected by row number inside the compiled step."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from baton.system.cuda import device_memory
from worker.training.step.inputs import Held
from worker.training.step.memory import MAX_ERROR_TEXT, out_of_memory

SHARE = 0.25
"""Images may take this share of a device's memory. The rest is for variables, activations and XLA's autotuning."""

log = logging.getLogger(__name__)


class DeviceCache:
    """Arrays of images in the memory of the devices, at most `capacity` bytes on each.

    A step takes the arrays as arguments. If they were constants of the compiled program, it would compile for minutes.
    """

    def __init__(self, devices: Sequence[str], capacity: int | None = None) -> None:
        self._devices, self._capacity = devices, device_share() if capacity is None else capacity
        self._arrays: dict[int, tuple[NDArray[np.uint8], Held]] = {}
        self._refused: dict[int, tuple[NDArray[np.uint8], str]] = {}

    def keep_only(self, *wanted: NDArray[np.uint8]) -> None:
        """Releases all other arrays. Call it before new arrays are added."""
        names = {id(images) for images in wanted}
        self._arrays = {name: entry for name, entry in self._arrays.items() if name in names}
        self._refused = {}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why images stay in host memory: one text for each array that was not copied."""
        return tuple(why for _, why in self._refused.values())

    def hold(self, images: NDArray[np.uint8]) -> Held | None:
        """The same images on each device, or None if they do not fit."""
        if id(images) in self._refused:
            return None
        if id(images) not in self._arrays:
            copied, why = self._copied(images)
            if copied is None:
                self._refused[id(images)] = (images, f"{_described(images)} stay in host memory: {why}")
                log.info("%s", self._refused[id(images)][1])
                return None
            self._arrays[id(images)] = (images, copied)
        return self._arrays[id(images)][1]

    def _copied(self, images: NDArray[np.uint8]) -> tuple[Held | None, str]:
        """The copies, or None and the reason."""
        if self._held + images.nbytes > self._capacity:
            return None, f"the device has room for {_mb(self._capacity - self._held)} MB more"
        try:
            return tuple(_copy(images, device) for device in self._devices), ""
        except tf.errors.OpError as error:
            if not out_of_memory(error):
                raise
            log.warning("images could not be copied to the device: %s", str(error)[:MAX_ERROR_TEXT])
            return None, "the device's memory is full"

    @property
    def _held(self) -> int:
        return sum(images.nbytes for images, _ in self._arrays.values())


def _copy(images: NDArray[np.uint8], device: str) -> tf.Tensor:
    begun = time.monotonic()
    with tf.device(device):
        copied = tf.constant(np.asarray(images))
    log.info("%s holds %s, copied in %.2f s", device, _described(images), time.monotonic() - begun)
    return copied


def _described(images: NDArray[np.uint8]) -> str:
    return f"{_mb(images.nbytes)} MB of images ({len(images)} of {images.shape[1]} px)"


def _mb(size: int) -> int:
    return size // 1_000_000


def training_devices() -> tuple[str, ...]:
    """The devices that run steps: all GPUs that TensorFlow may use, or the CPU. Tests divide the CPU into several."""
    gpus = tuple(f"GPU:{k}" for k in range(len(tf.config.get_visible_devices("GPU"))))
    if gpus:
        return gpus
    (cpu,) = tf.config.list_physical_devices("CPU")
    return tuple(f"CPU:{k}" for k in range(len(tf.config.get_logical_device_configuration(cpu) or (None,))))


def device_share() -> int:
    """Bytes that images may take on each training device: a share of the memory of the smallest device.

    CUDA reports the memory of the devices of this process, so the number is correct for every card and MIG instance.
    0 if CUDA does not answer.
    """
    count = len(tf.config.get_visible_devices("GPU"))
    if not count:
        return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return int(SHARE * min(device_memory()[:count], default=0))
