"""A training process that prints a line in each step, and that ends in the way that its job's labels name.

| label     | meaning                                                                                           |
|-----------|---------------------------------------------------------------------------------------------------|
| talk/end  | how attempt 1 ends after half of its steps: exception, crash, killed (default: it continues)       |
| talk/gate | any value: after half of the steps, print 200 KB and wait for the file that BATON_TALK_GATE names  |
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from baton.domain.spec import JobSpec
from tests.support.fake_trainer import FakeTrainer
from worker.attempt.process import Loaded, serve
from worker.attempt.protocols import Control, Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.settings import WorkerSettings
from worker.training.state.step_plan import StepPlan

MUCH = 200_000


def train(spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None) -> dict[str, float]:
    """Implements worker.attempt.protocols.Trainer."""
    half = StepPlan.of(spec, 1).total_steps // 2

    def before_step(step: int) -> None:
        print(f"attempt {control.attempt} says: step {step} für alle")
        if step == half and "talk/gate" in spec.labels:
            print("x" * MUCH)
            print("200 KB printed")
            _await_gate()
        if step == half and control.attempt == 1:
            _end(spec.labels.get("talk/end", ""))

    return FakeTrainer(before_step, patient=False)(spec, control, workspace, snapshot)


def _await_gate() -> None:
    gate = Path(os.environ["BATON_TALK_GATE"])
    while not gate.exists():
        time.sleep(0.02)


def _end(how: str) -> None:
    match how:
        case "exception":
            raise RuntimeError("planned to fail")
        case "crash":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)


def load(settings: WorkerSettings) -> Loaded:
    """Import no TensorFlow."""
    del settings
    return Loaded(train, {"trainer": "talking"})


if __name__ == "__main__":
    serve(load)
