"""The beginning of a job that starts from a checkpoint of another job."""

from __future__ import annotations

from baton.domain.spec import JobSpec
from baton.domain.start_from import Start
from worker.attempt.protocols import Control
from worker.checkpointing.snapshot import Snapshot
from worker.training.state.schedules import RateSchedule, State, make_schedule
from worker.training.step.engine import Engine

MOST_NAMES = 20
"""Names of variables in an event."""


def position_of(snapshot: Snapshot | None) -> Snapshot | None:
    """The snapshot if training continues at its position. None: training begins at the first stage."""
    if snapshot is None or snapshot.start is None or snapshot.start.keeps_position:
        return snapshot
    return None


def take_weights(engine: Engine, snapshot: Snapshot, control: Control) -> None:
    """Give the engine, which is at the beginning of the job, the weights of the other job that fit, with an event."""
    taken, start = engine.take(snapshot.arrays), snapshot.start
    assert start is not None
    text = f"started from step {start.global_step} of job {start.name}, at the first stage"
    text += f", because this differs: {start.why}" if start.why else ""
    parts = "all weights" if not taken.left_out else f"{len(taken.network)} weights that fit"
    parts += " and the state of the optimizer" if taken.optimizer else ""
    left = ["" if taken.optimizer else "the state of the optimizer", *taken.left_out[:MOST_NAMES]]
    rest = f"; not taken: {', '.join(filter(None, left))}" if any(left) else ""
    control.note(
        "started_from",
        f"{text}; taken: {parts}{rest}",
        {
            **_facts(start),
            "weights": len(taken.network),
            "weights_left_out": list(taken.left_out[:MOST_NAMES]),
            "optimizer": taken.optimizer,
        },
    )


def resumed_schedule(
    spec: JobSpec, engine: Engine, stage: int, state: State, snapshot: Snapshot, control: Control
) -> RateSchedule:
    """The schedule of the stage in which training continues. `state`: of the schedule, from the snapshot."""
    start = snapshot.start
    if start is not None:
        kept = "its learning rate schedule " + ("continues" if start.keeps_schedule else "starts again")
        text = (
            f"started from step {start.global_step} of job {start.name}, at its position with its whole state; {kept}"
        )
        control.note("started_from", text, _facts(start))
        if start.learning_rate is not None:
            engine.rate = start.learning_rate
    schedule = make_schedule(spec.stages[stage].schedule, engine.rate)
    if start is None or start.keeps_schedule:
        schedule.restore(state)
    return schedule


def _facts(start: Start) -> dict[str, object]:
    names = {"job", "global_step", "keeps_position", "keeps_schedule", "why"}
    return start.model_dump(include=names)
