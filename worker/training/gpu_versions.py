"""The versions that XLA's choice of kernels depends on: the GPU, its driver, and NVIDIA's libraries.

The loaded libraries report their versions. Package metadata is not used: vendors' images install them without pip.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from baton.system.cuda import cuda_version
from worker.training.environment import excluded_ops

UNKNOWN = "unknown"
MAPS = Path("/proc/self/maps")
DRIVER = Path("/proc/driver/nvidia/version")


def kernel_machine() -> dict[str, str]:
    """The version of each part, as readable text, by the name of the part.

    Call it on a machine with a GPU, and only after TensorFlow has listed its devices, because that loads the libraries.
    """
    import tensorflow as tf

    visible = tf.config.get_visible_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in visible]
    capabilities = [".".join(map(str, one.get("compute_capability", (UNKNOWN,)))) for one in details]
    return {
        "GPU": ", ".join(one.get("device_name", UNKNOWN) for one in details),
        "compute capability": ", ".join(capabilities),
        "driver": driver(),
        **libraries(),
        **excluded_ops(),
        "TensorFlow": tf.__version__,
        "TensorFlow's build": built_with(tf.sysconfig.get_build_info()),
        "Keras": version("keras"),
    }


def built_with(info: Mapping[str, Any]) -> str:
    """The libraries that TensorFlow was compiled with, by tf.sysconfig.get_build_info."""
    return f"CUDA {info.get('cuda_version', UNKNOWN)}, cuDNN {info.get('cudnn_version', UNKNOWN)}"


def libraries() -> dict[str, str]:
    """The versions of the libraries that are loaded into this process."""
    return {
        "CUDA runtime": _version_of("libcudart", _cuda_runtime),
        "cuDNN": _version_of("libcudnn", _cudnn),
        "cuBLAS": _version_of("libcublasLt", _cublas),
    }


def driver() -> str:
    """The version of NVIDIA's driver: from its library, or from the kernel if the container lacks the library."""
    text = ctypes.create_string_buffer(96)
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        failed = library.nvmlInit_v2() or library.nvmlSystemGetDriverVersion(text, len(text))
    except (OSError, AttributeError):
        failed = True
    return _kernel_driver() if failed else text.value.decode()


def _kernel_driver() -> str:
    # NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
    try:
        found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", DRIVER.read_text())
    except (OSError, UnicodeDecodeError):
        found = None
    return found[1] if found else UNKNOWN


def _version_of(name: str, ask: Callable[[ctypes.CDLL], str]) -> str:
    path = _loaded_path(name)
    if path is None:
        return "not loaded"
    try:
        return ask(ctypes.CDLL(path))  # returns the handle of the library that is already loaded
    except (OSError, AttributeError):
        return UNKNOWN


def _loaded_path(name: str) -> str | None:
    """The file from which this process has loaded a library; None if it has not loaded it."""
    try:
        lines = MAPS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    paths = (fields[5] for fields in (line.split(None, 5) for line in lines) if len(fields) > 5)
    return next((path for path in paths if Path(path).name.startswith(f"{name}.so")), None)


def _cuda_runtime(library: ctypes.CDLL) -> str:
    value = ctypes.c_int()
    return UNKNOWN if library.cudaRuntimeGetVersion(ctypes.byref(value)) else cuda_version(value.value)


def _cudnn(library: ctypes.CDLL) -> str:
    """90300 is 9.3.0; before version 9, 8907 is 8.9.7."""
    value = _size(library.cudnnGetVersion)
    return _dotted(value, 10_000 if value >= 90_000 else 1000)


def _cublas(library: ctypes.CDLL) -> str:
    """120503 is 12.5.3."""
    return _dotted(_size(library.cublasLtGetVersion), 10_000)


def _size(function: Any) -> int:
    function.restype = ctypes.c_size_t
    return int(function())


def _dotted(value: int, major: int) -> str:
    return f"{value // major}.{value % major // 100}.{value % 100}"
