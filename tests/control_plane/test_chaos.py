"""Two minutes of `make chaos-control`: a hundred jobs in a cluster whose members are killed, frozen and
disconnected.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from baton.domain.states import AttemptState
from tests.control_plane.chaos import BLOW_EVERY, JOBS, run
from tests.control_plane.fault_schedule import DRAWS, faults
from tests.control_plane.orders import Kind, orders

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("BATON_CHAOS_SEED", "1"))
STORM_SECONDS = 95.0


@pytest.mark.timeout(900)
def test_a_hundred_jobs_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    outcome = run(tmp_path, SEED, STORM_SECONDS)
    print(outcome)
    again = f"make chaos-control MINUTES={STORM_SECONDS / 60:g} SEED={SEED} JOBS={JOBS}; logs in {tmp_path}"
    assert not outcome.wrong, "\n".join([again, *outcome.wrong])
    assert outcome.states.total() == JOBS
    # Check that faults had an effect: members ended, leases expired, responses were lost, and calls were refused.
    assert sum(outcome.faults[kind] for kind in DRAWS) >= 20, outcome
    assert outcome.attempts[AttemptState.LOST], outcome
    assert outcome.losses.total(), outcome


def test_a_seed_draws_the_same_blows_and_orders_again() -> None:
    assert faults(3, 60, BLOW_EVERY) == faults(3, 60, BLOW_EVERY) != faults(4, 60, BLOW_EVERY)
    assert orders(3, 50, 60) == orders(3, 50, 60) != orders(4, 50, 60)


def test_every_kind_of_blow_and_of_job_is_drawn() -> None:
    drawn = faults(SEED, STORM_SECONDS, BLOW_EVERY)
    assert {fault.kind for fault in drawn} == set(DRAWS)
    assert {order.kind for order in orders(SEED, JOBS, STORM_SECONDS)} == set(Kind)
