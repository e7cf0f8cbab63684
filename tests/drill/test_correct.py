"""The drill gives no false alarm: correct programs are equal to the bit, whatever is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.drill.drill import EQUAL, unreached
from tests.drill.drilling import drilled

pytestmark = pytest.mark.process

RUNS = [("due", 0), ("due", 1), ("due", 2), ("due", 3), ("due", 4), ("due", 5)]
RUNS += [("background", 6), ("background", 7), ("epochs", 8), ("epochs", 9)]


@pytest.mark.parametrize(("save", "seed"), RUNS)
def test_a_correct_program_is_equal_to_the_bit(save: str, seed: int, tmp_path: Path) -> None:
    outcome = drilled(tmp_path, "correct.py", seed=seed, kills=4, params={"save": save, "seed": seed})
    assert (outcome.verdict, outcome.comparison.differences) == (EQUAL, [])
    assert outcome.again is None
    assert len(outcome.broken.attempts) > 1
    assert len(unreached(outcome)) <= 1
    assert outcome.comparison.counted["rows"] == 8
    assert outcome.comparison.counted["points"] == 40
    assert outcome.comparison.counted["checkpoints"] >= 5
