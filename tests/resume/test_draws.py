"""The draws cover every kind of job and every point, and the same seed gives the same draw."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from tests.resume.draws import SPECS, TEST_SPECS, job, schedule
from tests.resume.program_draws import program_schedule
from tests.support.fault_points import FILES_FAIL, POINTS, PROGRAM, PROGRAM_POINTS, STALL, STORE_FULL

TEST_NETWORKS, NETWORKS = {"tiny-cnn"}, {"tiny-cnn", "network-1", "network-2"}
SCHEDULES = {"constant", "reduce_on_plateau", "cyclic"}
AUGMENTATIONS = {"none", "paper-1", "paper-2"}


def stages(jobs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [stage for one in jobs for stage in one["stages"]]


@pytest.mark.parametrize(("number", "networks"), [(TEST_SPECS, TEST_NETWORKS), (SPECS, NETWORKS)])
def test_the_jobs_are_of_every_kind(number: int, networks: set[str]) -> None:
    jobs = [job(k) for k in range(number)]
    assert {one["network"]["name"] for one in jobs} == networks
    assert {one["network"]["dropout"] > 0 for one in jobs} == {True, False}
    assert {stage["schedule"]["name"] for stage in stages(jobs)} == SCHEDULES
    assert {stage["augmentation"] for stage in stages(jobs)} == AUGMENTATIONS
    assert {stage["start_from"] for one in jobs for stage in one["stages"][1:]} == {"best", "latest"}


def test_all_jobs_together_have_every_length_mode_and_optimizer() -> None:
    jobs = [job(k) for k in range(SPECS)]
    assert {len(one["stages"]) for one in jobs} == {1, 2, 3}
    assert {one["optimizer"]["name"] for one in jobs} == {"adam", "rmsprop", "sgd"}
    assert {one["checkpoint"]["every"] for one in jobs} == {f"{n} steps" for n in (1, 2, 3, 4)}
    assert {stage["schedule"].get("mode") for stage in stages(jobs)} >= {"triangular", "triangular2", "exp_range"}


def test_a_rate_that_fell_after_the_last_step_of_a_stage_is_carried_into_the_next() -> None:
    pairs = [pair for k in range(SPECS) for pair in pairwise(job(k)["stages"])]
    assert any(reduces_at_its_end(one) and carries_the_rate(other) for one, other in pairs)


def reduces_at_its_end(stage: dict[str, Any]) -> bool:
    schedule = stage["schedule"]
    return schedule["name"] == "reduce_on_plateau" and schedule["min_delta"] == 10 and schedule["patience"] == 0


def carries_the_rate(stage: dict[str, Any]) -> bool:
    return stage["schedule"]["name"] == "constant" and "learning_rate" not in stage["schedule"]


def test_every_point_is_drawn_and_no_other() -> None:
    drawn = {shot.point for number in range(120) for kill in schedule(number).kills for shot in kill.shots}
    assert drawn == set(POINTS)


def test_every_point_and_signal_of_programs_is_drawn() -> None:
    drawn = [
        shot
        for number in range(7, 7 + len(PROGRAM_POINTS))
        for kill in program_schedule(number).kills
        for shot in kill.shots
    ]
    assert {shot.point for shot in drawn} == set(PROGRAM_POINTS)
    assert {shot.signal for shot in drawn} == {"SIGKILL", "SIGTERM", PROGRAM}


def test_every_signal_and_every_fault_is_drawn() -> None:
    kills = [kill for number in range(60) for kill in schedule(number).kills]
    assert {shot.signal for kill in kills for shot in kill.shots} == {"SIGKILL", "SIGTERM", STALL}
    assert {kill.fault for kill in kills} == {"", FILES_FAIL, STORE_FULL}


def test_a_seed_gives_the_same_again() -> None:
    assert schedule(7) == schedule(7)
    assert schedule(7) != schedule(8)
