"""The start of a second process with and without results of the first: autotuning results, or also compiled programs.

Baton stores the autotuning results (decision 38). The compiled programs are only measured here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu.case import Case
from worker.autotuning.folder import FILE

STEPS = 20
NOTHING, RESULTS, PROGRAMS = "nothing", "autotuning results, as Baton does", "autotuning results and compiled programs"


@dataclass(frozen=True)
class Carried:
    """One second process. `first`: seconds of its first step. `equal`: its state after STEPS steps is bit-equal.

    `size`: bytes that it got from the first process.
    """

    first: float
    equal: bool
    size: int


def measure(case: Case, *, small: bool) -> tuple[float, dict[str, Carried]]:
    """Seconds of the first step of the first process, and each way to start the second one."""
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
        folder = Path(name)
        made = folder / "first"
        made.mkdir()
        first = _process(case, made, small=small, compiled=True)
        left = list(made.iterdir())
        ways = {NOTHING: [], RESULTS: [file for file in left if file.name == FILE], PROGRAMS: left}
        found: dict[str, Carried] = {}
        for way, files in ways.items():
            given = folder / way
            given.mkdir()
            for file in files:
                shutil.copy2(file, given)
            size = sum(file.stat().st_size for file in files)
            one = _process(case, given, small=small, compiled=way == PROGRAMS)
            found[way] = Carried(one["compile"], one["digest"] == first["digest"], size)
        return first["compile"], found


def _process(case: Case, folder: Path, *, small: bool, compiled: bool) -> dict[str, Any]:
    """Take STEPS steps. XLA reads from the folder and writes into it."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_dump_autotune_results_to='{folder / FILE}'"
    if (folder / FILE).exists():
        flags += f" --xla_gpu_load_autotune_results_from='{folder / FILE}'"
    environment = {**os.environ, "XLA_FLAGS": flags}
    if compiled:
        environment["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory='{folder}'"
    command = [sys.executable, "-m", "bench.gpu.keras_steps", case.network, "none", "0", f"--digest={STEPS}"]
    command += ["--small"] if small else []
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))
