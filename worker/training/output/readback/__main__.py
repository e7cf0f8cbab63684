"""Loads a .keras file in plain Keras, in its safe mode.

Usage: `python -m worker.training.output.readback PARENT FILE NETWORK`.

Prints one JSON object, see worker.training.output.readback.Found. NETWORK: the name of the network in the job's
spec. If the file cannot be loaded, the package of NETWORK is imported, and the file is loaded once more.

PARENT is the process id of the calling process. This process ends with it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from baton.system.parent_death import die_with_parent

if __name__ == "__main__":
    # This comes before the slow imports, so that the process also ends with its parent during them.
    die_with_parent(int(sys.argv[1]))
    os.nice(10)  # a lower priority would exceed the time limit while augmentation uses all cores
    # If the machine's memory runs out, the kernel kills this process first.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json

SHOWN = 1000


def _load(file: str) -> str:
    """Why plain Keras cannot load the file; empty if it can."""
    from worker.training.quick_import import import_tensorflow

    import_tensorflow()
    import keras

    try:
        keras.saving.load_model(file)
    except Exception as error:  # whatever a layer raises
        # Keras puts the whole configuration before the cause.
        said = " ".join(str(error).split()).rpartition("Exception encountered: ")[2]
        return f"{type(error).__name__}: {said}"[:SHOWN]
    return ""


def _load_with_package(file: str, network: str) -> bool:
    """Whether the file can be loaded once the network's package is imported."""
    from baton.domain.errors import JobFailure
    from worker.extensions import load

    try:
        load("network", network)
    except JobFailure:
        return False
    return not _load(file)


def _main(file: str, network: str) -> None:
    error = _load(file)
    print(json.dumps({"error": error, "with_package": bool(error) and _load_with_package(file, network)}))


if __name__ == "__main__":
    _main(sys.argv[2], sys.argv[3])
