"""The SkyPilot task: what it says to workers, and its `run` part in a real shell, with stand-ins for the workers."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from baton.domain.validation import parse_duration
from tests.deploy.settings import WORKER
from tests.support.gcs import until
from tests.support.service import ROOT

pytestmark = pytest.mark.process

TASK: dict[str, Any] = yaml.safe_load((ROOT / "deploy/skypilot/spot-worker.yaml").read_text())
# Says what it was given, waits for SIGTERM, and ends with the status that STATUS names for its GPU.
STAND_IN = """#!/bin/bash
trap 'echo "$CUDA_VISIBLE_DEVICES stopped" >> "$OUT"; exit 0' TERM
echo "$CUDA_VISIBLE_DEVICES $PYTHONPATH $BATON_AUGMENTATION_PROCESSES $*" >> "$OUT"
status="STATUS_$CUDA_VISIBLE_DEVICES"
[ -z "${!status}" ] || exit "${!status}"
while :; do sleep 0.1; done
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    python = tmp_path / "baton/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)
    given = {"HOME": str(tmp_path), "OUT": str(tmp_path / "out"), "SKYPILOT_NUM_GPUS_PER_NODE": "3"}
    return {"PATH": os.environ["PATH"], **TASK["envs"], **given}


def started(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", "-c", TASK["run"]], env=environment, cwd=ROOT, start_new_session=True)


def told(environment: dict[str, str]) -> list[str]:
    out = Path(environment["OUT"])
    return sorted(out.read_text().splitlines()) if out.exists() else []


def test_every_variable_is_a_setting_or_the_queue() -> None:
    names = set(TASK["envs"]) | set(TASK["secrets"])
    assert names - WORKER == {"BATON_QUEUE"}
    assert TASK["secrets"] == {"BATON_TOKEN": None}
    assert parse_duration(TASK["envs"]["BATON_IDLE"]) >= 60
    # Google leaves 30 s.
    assert float(TASK["envs"]["BATON_GRACE"]) < 30


def test_it_takes_spot_machines_and_installs_from_the_lock() -> None:
    assert TASK["resources"]["use_spot"] is True
    assert "--require-hashes --no-deps -r requirements/worker-gpu.txt" in TASK["setup"]
    assert subprocess.run(["bash", "-n", "-c", TASK["setup"]], check=False).returncode == 0


def test_each_gpu_has_a_worker_and_a_signal_reaches_them_all(environment: dict[str, str]) -> None:
    task = started(environment)
    try:
        until(lambda: len(told(environment)) == 3, 60, "three workers")
        cores = (os.cpu_count() or 1) // 3
        processes = cores - 1 if cores > 1 else 0
        assert told(environment) == [f"{gpu} {ROOT} {processes} -m worker --poll --queue default" for gpu in range(3)]
        task.send_signal(signal.SIGTERM)
        assert task.wait(60) == 0
        assert [line for line in told(environment) if "stopped" in line] == [f"{gpu} stopped" for gpu in range(3)]
    finally:
        if task.poll() is None:
            os.killpg(task.pid, signal.SIGKILL)


def test_the_others_work_on_when_one_ends_and_its_failure_is_told(environment: dict[str, str]) -> None:
    task = started({**environment, "STATUS_0": "0", "STATUS_1": "4"})
    try:
        until(lambda: len(told(environment)) == 3, 60, "three workers")
        with pytest.raises(subprocess.TimeoutExpired):
            task.wait(0.5)
        task.send_signal(signal.SIGTERM)
        assert task.wait(60) == 4
    finally:
        if task.poll() is None:
            os.killpg(task.pid, signal.SIGKILL)


def test_a_machine_without_a_gpu_has_one_worker(environment: dict[str, str]) -> None:
    ends = {**environment, "STATUS_0": "0"}
    del ends["SKYPILOT_NUM_GPUS_PER_NODE"]
    assert started(ends).wait(60) == 0
    assert len(told(ends)) == 1
