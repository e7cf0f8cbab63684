"""The SkyPilot task: the settings that it gives to workers, and its `run` script in a real shell, with replaced
workers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.protocols import Validator

from baton.domain.durations import parse_duration
from tests.deploy.settings import NOT_OF_A_FLEET, WORKER
from tests.support.gcs import until
from tests.support.service import ROOT

pytestmark = pytest.mark.process

SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "schemas/skypilot-0.14.1.json").read_text())
TASK: dict[str, Any] = yaml.safe_load((ROOT / "deploy/skypilot/spot-worker.yaml").read_text())
# Prints its settings, waits for SIGTERM, and ends with the status that STATUS has for its GPU.
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


def one_of(_: Validator, names: list[str], value: Any, __: Any) -> Iterator[ValidationError]:
    """SkyPilot's own keyword `case_insensitive_enum`."""
    if isinstance(value, str) and value.lower() not in [name.lower() for name in names]:
        yield ValidationError(f"{value!r} is not one of {names}")


def validate(task: dict[str, Any]) -> None:
    """By the schemas of SkyPilot. Raises ValidationError."""
    validator = validators.extend(Draft202012Validator, {"case_insensitive_enum": one_of})
    validator(SCHEMAS["task"]).validate(task)
    validator(SCHEMAS["resources"]).validate(task["resources"])


def test_it_has_the_form_that_skypilot_reads() -> None:
    validate(TASK)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"runn": "true"}, "runn"),
        ({"resources": {**TASK["resources"], "acelerators": "L4:1"}}, "acelerators"),
        ({"resources": {**TASK["resources"], "use_spot": "yes"}}, "yes"),
        ({"envs": {"BATON-URL": "x"}}, "BATON-URL"),
    ],
)
def test_what_skypilot_would_refuse_is_found(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        validate({**TASK, **changes})


def test_a_worker_gets_the_services_url_a_token_and_no_store() -> None:
    names = set(TASK["envs"]) | set(TASK["secrets"])
    assert names - WORKER == {"BATON_QUEUE"}
    assert not NOT_OF_A_FLEET & names
    assert TASK["secrets"] == {"BATON_TOKEN": None}
    assert parse_duration(TASK["envs"]["BATON_IDLE"]) >= 60
    # Google gives 30 s.
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
        assert told(environment) == [f"{gpu} {ROOT} {processes} -m worker --queue default" for gpu in range(3)]
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
