"""The cache of images in the device's memory: its limit, and what happens when the images do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from worker.training.step import device_cache
from worker.training.step.device_cache import SHARE, DeviceCache, device_share

GIB = 2**30
IMAGES = np.zeros((4, 8, 8, 3), np.uint8)
FULL = "Failed copying input tensor from CPU:0 to GPU:0 in order to run _EagerConst: Dst tensor is not initialized."


@pytest.mark.parametrize("error", [tf.errors.InternalError, tf.errors.ResourceExhaustedError])
def test_a_copy_that_does_not_fit_leaves_the_images_with_the_host(
    monkeypatch: pytest.MonkeyPatch, error: type[tf.errors.OpError]
) -> None:
    tried: list[str] = []

    def full(_images: object, device: str) -> tf.Tensor:
        tried.append(device)
        raise error(None, None, FULL)

    cache = DeviceCache(("CPU:0",), 10**6)
    with monkeypatch.context() as patched:
        patched.setattr(device_cache, "_copy", full)
        assert (cache.hold(IMAGES), cache.hold(IMAGES)) == (None, None)
    assert tried == ["CPU:0"]
    assert cache.left_out == ("0 MB of images (4 of 8 px) stay in host memory: the device's memory is full",)
    cache.keep_only(IMAGES)  # the next stage tries again
    copies = cache.hold(IMAGES)
    assert copies is not None
    assert (len(copies), cache.left_out) == (1, ())


def test_other_errors_of_a_copy_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_images: object, _device: str) -> tf.Tensor:
        raise tf.errors.InternalError(None, None, "the device is lost")

    monkeypatch.setattr(device_cache, "_copy", broken)
    with pytest.raises(tf.errors.InternalError):
        DeviceCache(("CPU:0",), 10**6).hold(IMAGES)


@pytest.mark.parametrize(
    ("memory", "count", "expected"),
    [((80 * GIB,), 1, 80 * GIB), ((10 * GIB, 80 * GIB), 1, 10 * GIB), ((80 * GIB, 40 * GIB), 2, 40 * GIB), ((), 1, 0)],
)
def test_the_share_is_of_the_memory_of_the_devices_in_use(
    monkeypatch: pytest.MonkeyPatch, memory: tuple[int, ...], count: int, expected: int
) -> None:
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _kind: ["GPU"] * count)
    monkeypatch.setattr(device_cache, "device_memory", lambda: memory)
    assert device_share() == int(SHARE * expected)
