"""The NVIDIA GPUs of this machine. Asks nvidia-smi, not TensorFlow."""

from __future__ import annotations

import csv
import logging
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

COMMAND = "nvidia-smi"
QUERY = ("name", "driver_version", "memory.total")
SECONDS = 30
MEBIBYTE = 2**20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """One GPU. `memory` in bytes."""

    name: str
    driver: str
    memory: int


@cache
def gpus() -> tuple[Gpu, ...]:
    """The GPUs of the machine, in the driver's order. Empty without a driver."""
    if shutil.which(COMMAND) is None:
        return ()
    command = [COMMAND, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s does not answer: %s", COMMAND, error)
        return ()
    return parse(done.stdout)


def parse(text: str) -> tuple[Gpu, ...]:
    """Parses the output of nvidia-smi, one line for each GPU. `memory` is 0 if it is not a number: some GPUs share the
    memory of the machine.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if len(row) == len(QUERY)]
    return tuple(Gpu(name, driver, int(memory) * MEBIBYTE if memory.isdigit() else 0) for name, driver, memory in rows)
