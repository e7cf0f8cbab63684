"""A training process without TensorFlow: like `python -m worker.training`, with a trainer that takes milliseconds.

`tests.support.fake_worker` is a real worker that starts these processes. Everything but the training is real: claim,
lease, heartbeats, checkpoints in the store, notices. Environment variables say what the training does. Labels of a job
say it for one job and take precedence:

| variable                | label              | meaning                                                            |
|-------------------------|--------------------|--------------------------------------------------------------------|
| BATON_FAKE_STEP_SECONDS | fake/step-seconds  | the duration of a step (0.005)                                     |
| BATON_FAKE_FAIL_AT      | fake/fail-at       | the global step, from 0, before which the attempt fails            |
| BATON_FAKE_FAIL_ATTEMPTS| fake/fail-attempts | only attempts up to this number fail; unset: all attempts          |
| BATON_FAKE_FAIL_HOW     | fake/fail-how      | exception, memory, bad-data, killed or exited (exception)          |
| BATON_FAKE_START_SECONDS| -                  | the time that the process takes to start (0)                       |
| BATON_FAKE_HOLD_AT      | fake/hold-at       | the global step, from 0, before which the attempt waits ...        |
| BATON_FAKE_HOLD_UNTIL   | fake/hold-until    | ... until this file exists                                         |
| -                       | fake/hang          | how attempt 1 hangs before step 3 (tests.support.hangs)            |
| BATON_FAKE_STUBBORN     | -                  | 1: the process ignores that its lease is lost and keeps writing    |
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict

from baton.domain.errors import JobFailure, LeaseLost
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from baton.domain.wire import Beat, Directive
from tests.support.fake_trainer import FakeTrainer
from tests.support.hangs import Hang, hang
from worker.api_client.client import ServiceClient
from worker.attempt.process import Loaded, serve
from worker.attempt.protocols import Control, Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.settings import WorkerSettings

HANGS_AT = 3
VARIABLE, LABEL = "BATON_FAKE_", "fake/"
log = logging.getLogger(__name__)


class How(StrEnum):
    """How an attempt fails."""

    EXCEPTION = "exception"
    MEMORY = "memory"
    BAD_DATA = "bad-data"
    KILLED = "killed"
    EXITED = "exited"


class Behaviour(BaseModel):
    """What the training does, see the table above."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    step_seconds: float = 0.005
    fail_at: int | None = None
    fail_attempts: int | None = None
    fail_how: How = How.EXCEPTION
    hold_at: int | None = None
    hold_until: Path = Path(os.devnull)
    start_seconds: float = 0.0
    stubborn: bool = False
    device_problem: Path | None = None
    hang: Hang | None = None

    def fails(self, attempt: int, step: int) -> bool:
        """Whether this attempt fails before this step."""
        return step == self.fail_at and (self.fail_attempts is None or attempt <= self.fail_attempts)


def behaviour(labels: dict[str, str]) -> Behaviour:
    """Read the behaviour from the environment and from these labels."""
    told = {k.removeprefix(VARIABLE).lower(): v for k, v in os.environ.items() if k.startswith(VARIABLE)}
    labelled = {k.removeprefix(LABEL).replace("-", "_"): v for k, v in labels.items() if k.startswith(LABEL)}
    return Behaviour.model_validate({**told, **labelled})


def train(spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None) -> dict[str, float]:
    """Implements worker.attempt.protocols.Trainer."""
    does = behaviour(spec.labels)

    def before_step(step: int) -> None:
        if does.fails(control.attempt, step):
            _fail(does.fail_how, step)
        if does.hang and (control.attempt, step) == (1, HANGS_AT):
            hang(does.hang, control)
        while step == does.hold_at and not does.hold_until.exists():
            time.sleep(does.step_seconds)
        time.sleep(does.step_seconds)

    return FakeTrainer(before_step, patient=False, publishes=True)(spec, control, workspace, snapshot)


def _fail(how: How, step: int) -> None:
    match how:
        case How.MEMORY:
            raise MemoryError(f"no memory left at step {step}")
        case How.BAD_DATA:
            raise JobFailure(Reason.BAD_DATA, f"bad data at step {step}")
        case How.KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        case How.EXITED:
            os._exit(3)
    raise RuntimeError(f"planned to fail at step {step}")


def _ignore_refusals() -> None:
    """Simulate a worker with a bug: it continues as if each refused call had been accepted."""
    for name in ("heartbeat", "commit_checkpoint", "record_epoch", "commit_artifact", "note", "finish"):
        setattr(ServiceClient, name, _ignoring_refusals(getattr(ServiceClient, name)))


def _ignoring_refusals(call: Callable[..., Beat | None]) -> Callable[..., Beat | None]:
    def ignoring(*arguments: Any) -> Beat | None:
        try:
            return call(*arguments)
        except LeaseLost as error:
            log.warning("refused and not believed: %s: %s", call.__name__, error)
            return Beat(directive=Directive.CONTINUE, lease_seconds=1.0)

    return ignoring


def load(settings: WorkerSettings) -> Loaded:
    """Import no TensorFlow. Wait as long as TensorFlow's import would take, if a duration is set."""
    del settings
    if behaviour({}).stubborn:
        _ignore_refusals()
    time.sleep(behaviour({}).start_seconds)
    broken = behaviour({}).device_problem
    return Loaded(train, {"trainer": "fake"}, problem=broken.read_text() if broken and broken.exists() else None)


def run() -> NoReturn:
    """Run as a training process. Its arguments are in sys.argv."""
    serve(load)


if __name__ == "__main__":
    run()
