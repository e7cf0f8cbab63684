"""`baton drill` of a program: runs it, compares the runs, and finds out where a difference comes from.

Two runs are enough if they are equal. Only if they differ, the program runs once more without interruptions, as far as
the first difference: if it differs there too, the program is not deterministic, and nothing is said about its resume.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from baton.drill.causes import FAILS
from baton.drill.compare import CHECKPOINT, END, Comparison, compare
from baton.drill.diagnosis import Case, Diagnosis, diagnose
from baton.drill.options import Options
from baton.drill.program import HASH_SEED, DrillError, Program
from baton.drill.record import RunRecord, SaveRecord
from baton.drill.runs import Runs, Tell
from baton.drill.schedule import Interruption, draw_schedule
from baton.program.drill.plan import SAVE

WHOLE, BROKEN, AGAIN = "without interruptions", "with interruptions", "again without interruptions"
EQUAL, DIFFERENT, NOT_DETERMINISTIC = "equal", "different", "not deterministic"


@dataclass
class Outcome:
    """What a drill has found. `again` and `diagnosis` are None if the runs are equal."""

    program: Program
    options: Options
    whole: RunRecord
    broken: RunRecord
    schedule: list[Interruption]
    comparison: Comparison
    again: RunRecord | None = None
    diagnosis: Diagnosis | None = None

    @property
    def verdict(self) -> str:
        """EQUAL, DIFFERENT or NOT_DETERMINISTIC."""
        if self.diagnosis is None:
            return EQUAL
        return NOT_DETERMINISTIC if self.diagnosis.two_whole_runs_differ else DIFFERENT


def drill(program: Program, options: Options, root: Path, tell: Tell, say: Callable[[str], None]) -> Outcome:
    """Drills a program. `root`: an empty folder for the runs. `tell`: gets counts. `say`: gets lines of text.

    Raises:
        DrillError: the program fails without interruptions, a limit is exceeded, or nothing can be interrupted.
        LocalDataError: the folder with the code is not one.
    """
    runs = Runs(program, root, options.seed, options.spread, options.limits, tell)
    whole = runs.whole(WHOLE)
    schedule = draw_schedule(whole.totals, whole.ticks, options.kills, options.seed)
    if not schedule or not whole.saves:
        raise DrillError(
            "the program made no save, or too few calls of its run, so there is nothing to resume: call run.save_due() "
            "after each step, and save when it is true"
        )
    say(f"{_steps(whole)} in {whole.seconds:.1f} s; now with {len(schedule)} interruptions")
    broken = runs.interrupted(BROKEN, whole.ticks, schedule)
    comparison = compare(whole, broken, options.ignored)
    outcome = Outcome(program, options, whole, broken, schedule, comparison)
    if broken.attempts[-1].failed:
        outcome.diagnosis = _failure(broken)
    elif comparison.first is not None:
        say("the runs differ; now again without interruptions, to see whether the program itself varies")
        outcome.again, outcome.diagnosis = _explained(runs, outcome)
    return outcome


def _steps(record: RunRecord) -> str:
    return f"{len(record.saves)} checkpoints up to step {record.saves[-1].step}"


def _failure(broken: RunRecord) -> Diagnosis:
    last = broken.attempts[-1]
    begun = next((event["step"] for event in last.events if event["kind"] == "start"), None)
    where = f"attempt {last.number}, which continued from step {begun}" if begun else f"attempt {last.number}"
    place = ", in a new copy of the code" if last.moved else ""
    return Diagnosis(FAILS, (f"{where}{place}, ended with exit status {last.status}", last.last_words()))


def _explained(runs: Runs, outcome: Outcome) -> tuple[RunRecord, Diagnosis]:
    whole, comparison = outcome.whole, outcome.comparison
    end = _end(whole, comparison)
    again, repeat = _repeated(runs, outcome, AGAIN, whole, end)
    case = Case(whole, outcome.broken, again, comparison, repeat)
    if repeat.first is not None and HASH_SEED not in {**os.environ, **outcome.program.variables}:
        end = _end(whole, repeat)
        first, _ = _repeated(runs, outcome, "with fixed hashes", whole, end, hash_seed="0")
        _, case.with_fixed_hashes = _repeated(runs, outcome, "with fixed hashes again", first, end, hash_seed="0")
    return again, diagnose(case)


LONGER = (2, 20)
"""A run is ended so many saves after the number that it should reach. A save in the background that lasts longer in one
run than in the other shifts the numbers of the next ones.
"""


def _end(whole: RunRecord, comparison: Comparison) -> SaveRecord | None:
    """The first save that shows the difference. None: only the end of the run does."""
    first = comparison.first
    assert first is not None
    if first.step == END:
        return None
    at_save = first.where == CHECKPOINT
    return next((one for one in whole.saves if one.step > first.step or (at_save and one.step == first.step)), None)


def _repeated(
    runs: Runs, outcome: Outcome, name: str, like: RunRecord, end: SaveRecord | None, hash_seed: str | None = None
) -> tuple[RunRecord, Comparison]:
    """Another run without interruptions up to this save, and how it differs from the run `like`."""
    if end is None:
        again = runs.whole(name, hash_seed=hash_seed)
        return again, compare(like, again, outcome.options.ignored, END)
    for more in LONGER:
        own = name if more == LONGER[0] else f"{name} and longer"
        again = runs.whole(own, until=end.counts[SAVE] + more, hash_seed=hash_seed)
        if again.attempts[-1].finished or any(one.step >= end.step for one in again.saves):
            break
    return again, compare(like, again, outcome.options.ignored, end.step)


def unreached(outcome: Outcome) -> Sequence[Interruption]:
    """The interruptions that did not happen, because the run was over or never came there."""
    done = [act for one in outcome.broken.attempts for act in one.acts]
    return [one for one in outcome.schedule if one.act not in done]
