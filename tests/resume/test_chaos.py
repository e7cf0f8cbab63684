"""Random jobs in real processes that are killed at random points end exactly like uninterrupted runs."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from tests.resume.campaign import Campaign, share_that_fell, table
from tests.resume.draws import TEST_SPECS, Schedule, job, schedule
from tests.resume.harness import Harness
from tests.resume.program_draws import TEST_SPECS as TEST_PROGRAMS
from tests.resume.program_draws import job as program_job
from tests.resume.program_draws import program_schedule
from tests.resume.program_states import ProgramEnding
from tests.support.programs.chain import final_state
from tests.support.worker import workers
from tests.support.zygote import THREADS

pytestmark = pytest.mark.chaos

SCHEDULES = 8
PROGRAM_SEEDS = (1, 6, 9, 13, 17)
"""Kills while files are written, hashed, uploaded and restored, around manifest, commit and rows, and at the end."""


def drawn() -> list[Schedule]:
    """The schedules, which are the same in every run."""
    return [schedule(number, TEST_SPECS) for number in range(SCHEDULES)]


@pytest.mark.timeout(1200)
def test_killed_as_drawn_the_bits_are_those_of_an_uninterrupted_run(harness: Harness) -> None:
    campaign = Campaign(harness)
    for outcome in campaign.run(drawn()):
        schedule_json = json.dumps(asdict(outcome.schedule))
        assert not outcome.differences, [
            f"make chaos SEED={outcome.schedule.seed} ARGS='--specs {TEST_SPECS}'",
            schedule_json,
        ]
    assert share_that_fell(campaign.outcomes) >= 0.8, table(campaign.outcomes)
    assert any(outcome.run.expired for outcome in campaign.outcomes)


@pytest.mark.timeout(600)
def test_a_killed_program_ends_as_an_uninterrupted_run(harness: Harness) -> None:
    campaign = Campaign(harness)
    schedules = [program_schedule(seed, TEST_PROGRAMS) for seed in PROGRAM_SEEDS]
    for outcome in campaign.run(schedules):
        assert not outcome.differences, json.dumps(asdict(outcome.schedule))
    assert share_that_fell(campaign.outcomes) >= 0.5, table(campaign.outcomes)


def test_an_uninterrupted_program_has_the_state_that_its_program_computes(harness: Harness) -> None:
    spec = program_job(0)
    end = harness.ending(harness.run(spec))
    assert isinstance(end, ProgramEnding)
    steps = spec["params"]["steps"]
    states = [final_state(step) for step in range(steps + 1)]
    assert end.files["/files/state.bin"] == states[steps]
    assert end.series["loss"] == [(step, states[step][0] / 255) for step in range(1, steps + 1)]
    assert [row["metrics"] for row in end.history] == [
        {"val_loss": states[row["global_step"]][0] / 255} for row in end.history
    ]


@pytest.mark.timeout(600)
def test_a_forked_training_process_computes_what_a_worker_of_its_own_does(harness: Harness) -> None:
    spec = {**job(0), "queue": "alone"}
    forked = harness.run(spec)
    settings = {"BATON_THREADS": str(THREADS), "BATON_AUGMENTATION_PROCESSES": "1"}
    with workers(harness.service, harness.folder) as made:
        made.start("--queue", "alone", **settings)
        alone = harness.watch(spec)
    assert harness.ending(forked).differences(harness.ending(alone)) == []
