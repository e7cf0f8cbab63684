"""The environment that decides the bits of a result: set before TensorFlow starts, recorded in every checkpoint."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from worker.training.quick_import import import_tensorflow

QUIET = "2"
NO_GPU = "none"
DETERMINISTIC_XLA = "--xla_gpu_deterministic_ops=true"
REPEATING_XLA = "--xla_gpu_exclude_nondeterministic_ops=true"
"""Weaker than DETERMINISTIC_XLA: XLA still selects kernels by measured time, so results of two machines may differ."""


def configure(threads: int, *, nondeterministic: bool = True) -> None:
    """Sets the variables that TensorFlow reads once, at import. Call it before the first import of TensorFlow.

    `nondeterministic`: whether XLA may use nondeterministic operations on a GPU.

    Raises:
        RuntimeError: TensorFlow has already started with other settings.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if not nondeterministic:
        _add_xla_flag(REPEATING_XLA)
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def take_gpus(count: int) -> None:
    """Makes at most `count` GPUs visible to TensorFlow."""
    import tensorflow as tf

    tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:count], "GPU")


def use_deterministic_ops(*, compiled: bool) -> None:
    """Allows only deterministic operations until the process ends. Call it before the first step is compiled.

    `compiled`: whether XLA compiles the steps. TensorFlow's own switch refuses to compile the gradient of max pooling;
    XLA's flag does not. XLA reads it at its first compilation.
    """
    import tensorflow as tf

    if compiled:
        _add_xla_flag(DETERMINISTIC_XLA)
    else:
        tf.config.experimental.enable_op_determinism()


def _add_xla_flag(flag: str) -> None:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def excluded_ops() -> dict[str, str]:
    """An entry for the environment record if XLA excludes nondeterministic operations, else empty."""
    return {"nondeterministic ops": "excluded"} if REPEATING_XLA in os.environ.get("XLA_FLAGS", "") else {}


def describe(threads: int, xla: str) -> dict[str, str]:
    """Everything that can change a bit of a result: versions, processor, threads, oneDNN, and the use of XLA."""
    import tensorflow as tf

    gpus = [tf.config.experimental.get_device_details(g).get("device_name", g.name) for g in _gpus()]
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": version("keras"),
        "numpy": version("numpy"),
        "opencv": version("opencv-python-headless"),
        "imgaug": version("imgaug"),
        "cpu": _cpu(),
        "gpu": ", ".join(gpus) or NO_GPU,
        "threads": str(threads),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
        # Absent if no step is compiled. Checkpoints of earlier versions also lack it.
        **({"xla": "on" if gpus else f"on, for a processor with {_features()}"} if compiles(xla) else {}),
        **(excluded_ops() if gpus else {}),
    }


def compiles(xla: str) -> bool:
    """Whether XLA compiles the steps. `xla`: "on", "off", or "auto": on GPUs only."""
    return xla == "on" or (xla == "auto" and bool(_gpus()))


def _gpus() -> list[Any]:
    import tensorflow as tf

    return list(tf.config.get_visible_devices("GPU"))


def _cpu() -> str:
    lines = _cpuinfo_lines()
    if not lines:
        return platform.processor() or platform.machine()
    kinds = {
        line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "cpu family", "model\t"))
    }
    return " ".join(sorted(kinds)) or platform.machine()


def _features() -> str:
    """A digest of the processor's features, which XLA compiles for. x86 lists them as flags, Arm as Features."""
    found = next((line for line in _cpuinfo_lines() if line.lower().startswith(("flags", "features"))), "")
    return f"features {hashlib.sha256(found.encode()).hexdigest()[:12]}"


def _cpuinfo_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
