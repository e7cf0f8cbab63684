"""Interruptions are drawn from the seed, spread over the run, and of all kinds."""

from __future__ import annotations

import pytest

from baton.drill.schedule import draw_schedule
from baton.program.drill.plan import KILL, LOG, PAUSE, SAVE, SAVE_DUE, TERM, TICK
from baton.program.drill.spread import Spread

TOTALS = {TICK: 1000, LOG: 1000, SAVE: 20}
SAVES = list(range(30, 1000, 47))


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_gives_the_same_schedule_of_all_kinds(seed: int) -> None:
    drawn = draw_schedule(TOTALS, SAVES, 6, seed)
    assert drawn == draw_schedule(TOTALS, SAVES, 6, seed)
    assert {one.act.do for one in drawn} == {KILL, TERM, PAUSE}
    assert [one.act.count for one in drawn] == sorted(one.act.count for one in drawn)
    assert len({one.act.count // 200 for one in drawn}) >= 4
    assert all(one.act.count in SAVES for one in drawn if one.act.do == TERM)
    assert any(one.moved for one in drawn)
    assert not all(one.moved for one in drawn)
    assert drawn[0].act.count >= SAVES[0]


def test_seeds_give_different_schedules() -> None:
    assert len({str(draw_schedule(TOTALS, SAVES, 4, seed)) for seed in range(20)}) == 20


def test_a_program_that_never_asks_is_interrupted_at_its_records() -> None:
    assert {one.act.unit for one in draw_schedule({TICK: 0, LOG: 50, SAVE: 5}, [], 4, 0)} == {LOG}
    assert {one.act.unit for one in draw_schedule({TICK: 0, LOG: 0, SAVE: 5}, [], 4, 0)} == {SAVE}
    assert draw_schedule({TICK: 1}, [1], 4, 0) == []


def test_a_quick_drill_has_a_kill_and_a_warned_stop() -> None:
    drawn = [draw_schedule(TOTALS, SAVES, 2, seed) for seed in range(20)]
    assert all(sorted(one.act.do for one in two) == [KILL, TERM] for two in drawn)
    assert all(one.act.point == SAVE_DUE for two in drawn for one in two)


@pytest.mark.parametrize("length", [1, 7, 100, 5000])
def test_checkpoints_are_spread_over_a_run_of_any_length(length: int) -> None:
    spread, kept = Spread(few=10, seed=3), list[int]()
    for step in range(1, length + 1):
        if spread.chosen(step):
            kept = spread.thinned([*kept, step])
    assert kept == sorted(set(kept))
    assert min(length, 9) <= len(kept) <= 20
    gaps = [later - earlier for earlier, later in zip([0, *kept], [*kept, length], strict=True)]
    assert max(gaps) <= max(1, 4 * length // 10)


def test_checkpoints_are_not_all_at_the_ends_of_epochs() -> None:
    for epoch in (8, 10, 16, 32, 64):
        spread, kept = Spread(few=10, seed=0), list[int]()
        for step in range(1, 2049):
            if spread.chosen(step):
                kept = spread.thinned([*kept, step])
        assert len({step % epoch for step in kept}) > len(kept) // 3
