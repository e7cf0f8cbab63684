"""A job that starts from the checkpoint of another job: at its position, or at the first stage with what fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import JobSpec, dump_spec, parse_spec
from baton.domain.start_from import Start
from baton.storage import open_store
from tests.resume.in_process_run import Ending, assert_equal, ending, run, spec
from tests.support.recorder import Recorder
from worker.attempt.protocols import Workspace
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.training.loop import train
from worker.training.step.engine import Engine

START = Start(job="1" * 32, name="first", global_step=10, fence=1, keeps_position=True, keeps_schedule=True)


def changed(before: JobSpec, **fields: Any) -> JobSpec:
    return parse_spec({**dump_spec(before), **fields})


def with_epochs(before: JobSpec, stage: int, epochs: int) -> JobSpec:
    stages = dump_spec(before)["stages"]
    return changed(before, stages=[{**one, "epochs": epochs} if k == stage else one for k, one in enumerate(stages)])


class Started:
    """A finished job in `folder`, and jobs that start from its last checkpoint. `notes`: their events."""

    def __init__(self, folder: Path, job: JobSpec) -> None:
        self._store = open_store(f"file://{folder}/store")
        self._folder, self._workspace = folder, Workspace(folder.parent / "cache", threads=2, processes=0)
        self.notes: list[tuple[str, str]] = []
        self._attempt = 1
        first = Recorder(self._store)
        train(job, first, self._workspace, None)
        assert first.newest is not None
        self._last = replace(read_checkpoint(self._store, first.newest)[0], rows_from=1)

    def go_on(self, job: JobSpec, start: Start) -> Ending:
        self.notes = []
        self._attempt += 1
        control = Recorder(self._store, attempt=self._attempt, notes=self.notes)
        results = train(job, control, self._workspace, replace(self._last, start=start))
        return ending(control, results, self._folder)


ONE_STAGE = changed(spec(), stages=dump_spec(spec())["stages"][:1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Started:
    return Started(tmp_path_factory.mktemp("one-stage") / "a", ONE_STAGE)


def test_a_job_with_later_epochs_ends_like_one_that_had_them_from_the_beginning(
    trained: Started, tmp_path: Path
) -> None:
    """One more epoch of the stage, and one more stage, which starts from the best epoch."""
    longer = with_epochs(with_epochs(spec(), 0, 3), 1, 1)
    assert_equal(trained.go_on(longer, START), run(longer, tmp_path / "b"))
    assert [kind for kind, _ in trained.notes] == ["started_from"]
    assert "from step 10 of job first, at its position" in trained.notes[0][1]


def test_another_learning_rate_counts_from_the_position_on(trained: Started) -> None:
    longer = changed(with_epochs(ONE_STAGE, 0, 3), optimizer={"name": "adam", "learning_rate": 1e-4})
    start = START.model_copy(update={"keeps_schedule": False, "learning_rate": 1e-4})
    found = trained.go_on(longer, start)
    assert [(row["global_step"], row["stage_epoch"]) for row in found.history] == [(5, 1), (10, 2), (15, 3)]
    assert found.history[2]["learning_rate"] == pytest.approx(1e-4)
    assert found.history[0]["learning_rate"] > 1e-3
    assert "its learning rate schedule starts again" in trained.notes[0][1]


def test_other_data_begins_at_the_first_stage_with_the_weights_that_fit(trained: Started) -> None:
    fewer = changed(ONE_STAGE, dataset={"name": "digits", "classes": 5, "per_class": 30})
    start = START.model_copy(update={"keeps_position": False, "why": "dataset.classes"})
    found = trained.go_on(fewer, start)
    assert [(row["epoch"], row["global_step"]) for row in found.history] == [(1, 5), (2, 10)]
    (kind, text), *_ = trained.notes
    assert kind == "started_from"
    assert "at the first stage, because this differs: dataset.classes; taken:" in text
    assert "not taken: the state of the optimizer, network/" in text


def test_what_an_engine_takes() -> None:
    job = spec()
    before = Engine(job, 10)
    state = before.arrays()
    state = {name: array + 1 if "seed_generator" not in name else array for name, array in state.items()}
    same = Engine(changed(job, seed=7), 10)
    seeds = {name: array for name, array in same.arrays().items() if "seed_generator" in name}
    taken = same.take(state)
    assert (taken.left_out, taken.optimizer) == ((), True)
    after = same.arrays()
    rate = next(name for name in after if name.endswith("/learning_rate"))
    assert after[rate] == pytest.approx(3e-3)
    assert seeds and all((after[name] == array).all() for name, array in seeds.items())
    rest = set(taken.network)
    assert rest and all((after[name] == state[name]).all() for name in rest)

    head = Engine(job, 4)
    fresh = head.arrays()
    taken = head.take(state)
    assert taken.left_out and not taken.optimizer
    after = head.arrays()
    assert all((after[name] == fresh[name]).all() for name in (*taken.left_out, rate))
    assert all((after[name] == state[name]).all() for name in taken.network)

    with pytest.raises(JobFailure, match="no weight"):
        head.take({})
