"""Checks whether TensorFlow can use the GPU that the driver shows, and finds out why it cannot.

`python -m worker.training.devices` prints the result as JSON for `baton doctor`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from baton.system.cuda import (
    driver_cuda,
    driver_shows_gpu,
    driver_trouble,
    missing_libraries,
    needed_libraries,
)

USE_CPU = "set BATON_GPUS=0 to train on the CPU"
_LOG = "start with TF_CPP_MIN_LOG_LEVEL=0 to see TensorFlow's messages about the cause"


def gpu_problem(wanted: int, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why TensorFlow cannot use the GPU. None if it can, if no GPU is wanted, or if the driver shows none.

    Call it after TensorFlow was configured, because it lists the devices. `wanted`: how many GPUs the worker may use.
    """
    import tensorflow as tf

    if not wanted or tf.config.list_physical_devices("GPU") or not driver_shows_gpu(environment):
        return None
    return f"NVIDIA's driver shows a GPU, and TensorFlow cannot use it: {_why(tf.sysconfig.get_build_info())}"


def _why(build: Mapping[str, Any]) -> str:
    if not build.get("is_cuda_build"):
        text = f"{_package()} is built without CUDA. {_install()}"
    elif trouble := driver_trouble():
        text = trouble
    else:
        text = _libraries(str(build.get("cuda_version", "")), str(build.get("cudnn_version", "")))
    return f"{text}; or {USE_CPU}"


def _libraries(cuda: str, cudnn: str) -> str:
    missing = missing_libraries(needed_libraries(cuda, cudnn))
    built = f"TensorFlow {_version()} is built for CUDA {cuda} and cuDNN {cudnn}"
    if not missing:
        driver = driver_cuda()
        supports = f", the driver supports CUDA {driver}" if driver else ""
        return f"all its libraries can be loaded; {built}{supports}; {_LOG}"
    first = next(iter(missing.values()))
    return f"{', '.join(missing)} cannot be loaded ({first}); {built}. {_install()}"


def _install() -> str:
    return f"Install it with its libraries: pip install 'tensorflow[and-cuda]=={_version()}'"


def _package() -> str:
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "TensorFlow"


def _version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def main() -> None:
    """Print TensorFlow's version, the number of its GPUs, and the problem, as JSON."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    asked = os.environ.get("BATON_GPUS", "1")
    problem = gpu_problem(int(asked) if asked.isdigit() else 1)
    print(json.dumps({"version": tf.__version__, "gpus": len(gpus), "problem": problem}))


if __name__ == "__main__":
    main()
