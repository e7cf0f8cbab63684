"""A minute of `make chaos-control`: jobs in a cluster whose members are killed, frozen and disconnected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.control_plane.chaos import BLOW_EVERY, run
from tests.control_plane.fault_schedule import DRAWS, faults
from tests.control_plane.orders import Kind, orders

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("BATON_CHAOS_SEED", "1"))
STORM_SECONDS, STORM_JOBS, STORM_BACKLOG = 60.0, 50, 4_000


@pytest.mark.timeout(900)
def test_jobs_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    outcome = run(tmp_path, SEED, STORM_SECONDS, jobs=STORM_JOBS, backlog=STORM_BACKLOG)
    print(outcome)
    options = f"MINUTES={STORM_SECONDS / 60:g} SEED={SEED} JOBS={STORM_JOBS} ARGS='--backlog {STORM_BACKLOG}'"
    again = f"make chaos-control {options}; logs in {tmp_path}"
    assert not outcome.wrong, "\n".join([again, *outcome.wrong])
    assert outcome.states.total() == STORM_JOBS
    # Check that faults had an effect: members ended, attempts were interrupted, and responses were lost.
    assert sum(outcome.faults[kind] for kind in DRAWS) >= 20, outcome
    assert outcome.attempts.total() > STORM_JOBS, outcome
    assert outcome.losses.total(), outcome


def test_a_seed_draws_the_same_blows_and_orders_again() -> None:
    assert faults(3, 60, BLOW_EVERY) == faults(3, 60, BLOW_EVERY) != faults(4, 60, BLOW_EVERY)
    assert orders(3, 50, 60) == orders(3, 50, 60) != orders(4, 50, 60)


def test_every_kind_of_blow_and_of_job_is_drawn() -> None:
    drawn = faults(SEED, STORM_SECONDS, BLOW_EVERY)
    assert {fault.kind for fault in drawn} == set(DRAWS)
    assert {order.kind for order in orders(SEED, STORM_JOBS, STORM_SECONDS)} == set(Kind)
