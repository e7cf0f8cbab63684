"""Checks NVIDIA's driver and CUDA's libraries on this machine by loading them, without TensorFlow."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from baton.system.gpus import gpus

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = "libcuda.so.1"
DEVICES = Path("/dev")
_DEVICE = re.compile(r"nvidia\d+")
_NONE_VISIBLE = re.compile(r"\s*(-|NoDevFiles|none|void|$)", re.IGNORECASE)

# For each major version of CUDA: the library names that TensorFlow loads (tsl/platform/default/dso_loader.cc). cuDNN
# has versions of its own.
_LIBRARIES = {
    12: ("cudart.so.12", "cublas.so.12", "cublasLt.so.12", "cufft.so.11", "cusolver.so.11", "cusparse.so.12"),
    13: ("cudart.so.13", "cublas.so.13", "cublasLt.so.13", "cufft.so.12", "cusolver.so.12", "cusparse.so.12"),
}

Loader = Callable[[str], Any]


def driver_shows_gpu(environment: Mapping[str, str], devices: Path = DEVICES) -> bool:
    """Whether the driver offers a GPU to this process, and CUDA_VISIBLE_DEVICES does not hide all of them.

    A container without a GPU may have its host's /proc/driver/nvidia, but has neither a device file nor nvidia-smi.
    """
    chosen = environment.get(VISIBLE)
    if chosen is not None and _NONE_VISIBLE.match(chosen):
        return False
    return any(_DEVICE.fullmatch(file.name) for file in _files(devices)) or bool(gpus())


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        return


def needed_libraries(cuda: str, cudnn: str) -> tuple[str, ...]:
    """The files that TensorFlow loads. `cuda`, `cudnn`: the versions that it was built with, such as 12.5.1 and 9.

    >>> needed_libraries("12.5.1", "9")[0], needed_libraries("12.5.1", "9")[-1]
    ('libcudart.so.12', 'libcudnn.so.9')
    """
    major = cuda.split(".", maxsplit=1)[0]
    names = _LIBRARIES.get(int(major), ()) if major.isdigit() else ()
    return (*(f"lib{name}" for name in names), *([f"libcudnn.so.{cudnn.split('.', maxsplit=1)[0]}"] if cudnn else ()))


def missing_libraries(names: tuple[str, ...], load: Loader = ctypes.CDLL) -> dict[str, str]:
    """The libraries that cannot be loaded, with the loader's error for each.

    Call it after TensorFlow has listed its devices: then libraries that it loaded from its own folders are found too.
    """
    missing = {}
    for name in names:
        try:
            load(name)
        except OSError as error:
            missing[name] = str(error)
    return missing


def driver_trouble(load: Loader = ctypes.CDLL) -> str | None:
    """Why CUDA finds no device, as text for users. None if it finds one."""
    try:
        driver = load(DRIVER)
    except OSError as error:
        return f"{DRIVER}, part of NVIDIA's driver, cannot be loaded: {error}"
    if code := driver.cuInit(0):
        return f"NVIDIA's driver cannot be started: {_error(driver, code)}"
    count = ctypes.c_int()
    if code := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"NVIDIA's driver does not list its devices: {_error(driver, code)}"
    return None if count.value else "NVIDIA's driver lists no device for this process"


def _error(driver: Any, code: int) -> str:
    text = ctypes.c_char_p()
    known = driver.cuGetErrorString(code, ctypes.byref(text)) == 0 and text.value
    return f"error {code}" + (f", {text.value.decode()}" if known and text.value else "")


def driver_cuda(load: Loader = ctypes.CDLL) -> str | None:
    """The newest version of CUDA that the driver supports, such as 12.4. None if it is not known."""
    version = ctypes.c_int()
    try:
        failed = load(DRIVER).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed else cuda_version(version.value)


def cuda_version(value: int) -> str:
    """A version from CUDA's API as text.

    >>> cuda_version(12050)
    '12.5'
    """
    return f"{value // 1000}.{value % 1000 // 10}"


def device_memory(load: Loader = ctypes.CDLL) -> tuple[int, ...]:
    """Bytes of memory of each device that this process may use, in CUDA's order. Empty if CUDA does not work.

    CUDA_VISIBLE_DEVICES applies. In MIG mode each instance of a card is a device with its own memory.
    """
    try:
        driver = load(DRIVER)
        count = ctypes.c_int()
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return ()
        found = [_memory_of(driver, ordinal) for ordinal in range(count.value)]
    except (OSError, AttributeError):
        return ()
    return () if None in found else tuple(size for size in found if size is not None)


def _memory_of(driver: Any, ordinal: int) -> int | None:
    device, size = ctypes.c_int(), ctypes.c_size_t()
    failed = driver.cuDeviceGet(ctypes.byref(device), ordinal) or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return None if failed else size.value
