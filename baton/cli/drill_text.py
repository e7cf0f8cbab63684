"""The result of a drill as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from baton.domain.text import safe
from baton.drill.compare import Comparison
from baton.drill.diagnosis import Diagnosis
from baton.drill.drill import EQUAL, NOT_DETERMINISTIC, Outcome, unreached
from baton.program.drill.plan import TERM

if TYPE_CHECKING:
    from baton.drill.classifier import ClassifierOutcome

NOUNS = {"points": "points", "rows": "rows", "checkpoints": "checkpoints", "files": "files"}


def outcome_text(outcome: Outcome, root: Path) -> str:
    """What the drill of a program has found. `root`: where the runs are kept if they differ."""
    return "\n".join([*_verdict(outcome), *_details(outcome), *_kept(outcome.verdict == EQUAL, root)])


def _verdict(outcome: Outcome) -> Iterator[str]:
    if outcome.verdict == EQUAL:
        yield f"equal to the bit: {_compared(outcome.comparison)}"
        return
    if outcome.verdict == NOT_DETERMINISTIC:
        yield "the program is not deterministic: two runs without interruptions already differ"
    else:
        yield "different: the interrupted run (second value) does not end as the uninterrupted run (first value) does"
    yield from _differences(outcome.comparison)
    if outcome.diagnosis is not None:
        yield from _diagnosis(outcome.diagnosis)


def _compared(comparison: Comparison) -> str:
    return ", ".join(f"{comparison.counted[name]:,} {noun}" for name, noun in NOUNS.items() if comparison.counted[name])


def _differences(comparison: Comparison) -> Iterator[str]:
    if (first := comparison.first) is not None:
        yield f"  first difference: {safe(first.text)}"
    if (save := comparison.first_checkpoint) is not None and save is not first:
        yield f"  first checkpoint: {safe(save.text)}"
    if save is None and comparison.differences:
        yield "  all checkpoints are equal: what differs is not in them"
    if len(comparison.differences) > 1:
        yield f"  {len(comparison.differences):,} differences in all; --json lists them"


def _diagnosis(found: Diagnosis) -> Iterator[str]:
    yield f"where it comes from: {found.cause.title}"
    for one in found.evidence:
        yield from (f"  {safe(line)}" for line in one.splitlines())
    yield f"  {found.cause.advice}"


def _details(outcome: Outcome) -> Iterator[str]:
    done = [str(one) for one in outcome.schedule if one not in unreached(outcome)]
    yield f"seed {outcome.options.seed}: {'; '.join(done) or 'nothing was interrupted'}"
    if left := unreached(outcome):
        yield f"  not reached: {'; '.join(map(str, left))}"
    if any(act.do == TERM and one.finished for one in outcome.broken.attempts for act in one.acts):
        yield "a SIGTERM did not stop the program: call run.check() at the end of each step, after the save"
    runs = [outcome.whole, outcome.broken, *([outcome.again] if outcome.again else [])]
    yield f"seconds: {', '.join(f'{one.seconds:.1f} {one.name}' for one in runs)}"
    if not outcome.whole.published and not outcome.whole.arrays_in_the_working_folder:
        yield "the program publishes no file: what it does after its last checkpoint is compared by its rows and points"
    others = set(outcome.broken.left_in_the_working_folder) - set(outcome.broken.arrays_in_the_working_folder)
    if others:
        yield f"not compared, because no worker keeps them: {_few(sorted(others))} in the working folder"
        yield "  Publish what you need: run.publish"


def _few(names: Iterable[str]) -> str:
    shown = [safe(one) for one in names]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def _kept(equal: bool, root: Path) -> list[str]:
    return [] if equal else [f"the runs are in {root}"]


def classifier_text(outcome: ClassifierOutcome, root: Path) -> str:
    """What the drill of a classifier has found."""
    equal = outcome.comparison.first is None
    verdict = f"equal to the bit: {_compared(outcome.comparison)}" if equal else "different"
    lines = [verdict, *_differences(outcome.comparison), *(f"  {one}" for one in outcome.interruptions)]
    return "\n".join([*lines, *_kept(equal, root)])
