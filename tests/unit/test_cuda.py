"""The GPUs that NVIDIA's driver reports, and which library is missing.

The driver is a fake, because the real one needs a GPU.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from baton.system import cuda
from baton.system.cuda import (
    device_memory,
    driver_cuda,
    driver_shows_gpu,
    driver_trouble,
    missing_libraries,
    needed_libraries,
)

GIB = 2**30


class Driver:
    """Responds as libcuda does: 0 or an error code, and results by reference."""

    def __init__(self, *memory: int, init: int = 0) -> None:
        self._memory, self._init = memory, init

    def __call__(self, _name: str) -> Driver:
        return self

    def cuInit(self, _flags: int) -> int:  # noqa: N802
        return self._init

    def cuGetErrorString(self, _code: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"system has unsupported display driver / cuda driver combination"
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._memory)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, device: ctypes.c_int) -> int:  # noqa: N802
        size._obj.value = self._memory[device.value]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 12040
        return 0


def absent(name: str) -> Any:
    raise OSError(f"{name}: cannot open shared object file: No such file or directory")


@pytest.mark.parametrize(
    ("files", "visible", "expected"),
    [
        (["nvidia0", "nvidiactl"], None, True),
        (["nvidia0"], "0", True),
        (["nvidia0"], "MIG-4f", True),
        (["nvidia0"], "", False),
        (["nvidia0"], "-1", False),
        (["nvidia0"], "NoDevFiles", False),
        (["nvidiactl", "nvidia-uvm", "nvidia-caps"], None, False),
        ([], None, False),
    ],
)
def test_what_the_driver_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], visible: str | None, expected: bool
) -> None:
    monkeypatch.setattr(cuda, "gpus", lambda: ())
    for name in files:
        (tmp_path / name).touch()
    assert driver_shows_gpu({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}, tmp_path) is expected


def test_the_libraries_of_a_build() -> None:
    assert needed_libraries("13.0", "9.1") == (
        "libcudart.so.13",
        "libcublas.so.13",
        "libcublasLt.so.13",
        "libcufft.so.12",
        "libcusolver.so.12",
        "libcusparse.so.12",
        "libcudnn.so.9",
    )
    assert needed_libraries("", "") == ()


def test_a_library_that_cannot_be_loaded_is_named() -> None:
    missing = missing_libraries(("libc.so.6", "libbaton-absent.so.9"))
    assert list(missing) == ["libbaton-absent.so.9"]
    assert "libbaton-absent.so.9" in missing["libbaton-absent.so.9"]


def test_why_the_driver_gives_no_device() -> None:
    assert driver_trouble(Driver(80 * GIB)) is None
    assert "lists no device" in str(driver_trouble(Driver()))
    assert "error 803, system has unsupported display driver" in str(driver_trouble(Driver(init=803)))
    assert "libcuda.so.1, part of NVIDIA's driver, cannot be loaded" in str(driver_trouble(absent))
    assert (driver_cuda(Driver()), driver_cuda(absent)) == ("12.4", None)


def test_each_device_has_its_own_memory() -> None:
    assert device_memory(Driver(10 * GIB, 80 * GIB)) == (10 * GIB, 80 * GIB)
    assert device_memory(Driver(10 * GIB, init=100)) == ()
    assert device_memory(absent) == ()
