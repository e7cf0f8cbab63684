"""Says where a difference comes from, by what was seen in the processes right after a resume, and by what differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from baton.drill import causes
from baton.drill.causes import Cause
from baton.drill.compare import CHECKPOINT, FINAL, SERIES, Comparison, Difference
from baton.drill.record import RunRecord, look_key
from baton.program.drill.plan import PAUSE

SHOWN = 6


@dataclass(frozen=True)
class Seen:
    """A variable that differs at the same place of two runs. `kind`: as in baton.program.drill.looking."""

    name: str
    kind: str
    one: str
    other: str

    def __str__(self) -> str:
        told = f": {self.one} against {self.other}" if self.one != self.other else ""
        return f"`{self.name}`{told}"


@dataclass(frozen=True)
class Diagnosis:
    """The cause, and what speaks for it. `two_whole_runs_differ`: not the resume is wrong, but the program varies."""

    cause: Cause
    evidence: tuple[str, ...] = ()
    two_whole_runs_differ: bool = False

    def view(self) -> dict[str, Any]:
        """As in the result."""
        return {
            "cause": self.cause.code,
            "title": self.cause.title,
            "advice": self.cause.advice,
            "evidence": list(self.evidence),
            "two_uninterrupted_runs_differ": self.two_whole_runs_differ,
        }


@dataclass
class Case:
    """What is known of a difference. `again`: the second uninterrupted run."""

    whole: RunRecord
    broken: RunRecord
    again: RunRecord
    comparison: Comparison
    repeat: Comparison
    with_fixed_hashes: Comparison | None = None
    noise: set[str] = field(default_factory=set)


def diagnose(case: Case) -> Diagnosis:
    """The most likely cause."""
    if case.repeat.first is not None:
        return _not_deterministic(case)
    case.noise = _noise(case)
    first = case.comparison.first
    assert first is not None
    if (found := _before_any_resume(case.broken, first)) is not None:
        return found
    seen, resumed = _not_restored(case)
    found = _by_counts(case, seen) or _by_generators(case) or _by_variables(seen, resumed)
    return found or _by_names(case) or _by_unseeded(case) or Diagnosis(causes.UNKNOWN)


# --- two uninterrupted runs ---


def _not_deterministic(case: Case) -> Diagnosis:
    first = case.repeat.first
    assert first is not None
    said = [f"two runs without interruptions differ: {first.text}"]
    fixed = case.with_fixed_hashes
    if fixed is not None and fixed.first is None:
        return Diagnosis(causes.SET_ORDER, (*said, "two runs with PYTHONHASHSEED=0 do not differ there"), True)
    seen = list(_between(case.whole, case.again))
    if used := _generators_in_use(case.whole, case.again):
        said.append(f"the state of {used[0]} differs in the first steps")
        return Diagnosis(causes.UNSEEDED, tuple(said), True)
    if generators := [one for one in seen if one.kind == "generator"]:
        return Diagnosis(causes.UNSEEDED, (*said, f"{generators[0]} differs"), True)
    # A time that is only measured differs too, so a variable counts only if it is a rate.
    clocks = [one.name for one in case.repeat.differences if one.step == first.step and causes.CLOCK.fits(one.name)]
    rates = [one.name for one in seen if causes.SCHEDULE.fits(one.name)]
    if clocks or rates:
        return Diagnosis(causes.CLOCK, (*said, f"`{(clocks or rates)[0]}` differs", *_list(seen)), True)
    if drawn := _drawn_before_the_first_look(case.whole, case.again):
        said.append(f"numbers were drawn from {drawn[0]} before the first step, and its state differs")
        return Diagnosis(causes.UNSEEDED, tuple(said), True)
    return Diagnosis(causes.NONDETERMINISTIC, (*said, *_list(seen)), True)


def _between(one: RunRecord, other: RunRecord) -> Iterator[Seen]:
    """Variables that differ at the first place that both have looked at and where any differs."""
    for key in sorted(set(one.looks) & set(other.looks), key=lambda key: key[1]):
        if found := list(_differing(one.looks[key], other.looks[key])):
            yield from found
            return


def _generators_in_use(one: RunRecord, other: RunRecord) -> list[str]:
    keys = sorted(set(one.looks) & set(other.looks), key=lambda key: key[1])
    first = [name for key in keys[:1] for name in _odd_generators(one.looks[key], other.looks[key])]
    return [name for name in first if _is_used(one, name)]


def _drawn_before_the_first_look(one: RunRecord, other: RunRecord) -> list[str]:
    for key in sorted(set(one.looks) & set(other.looks), key=lambda key: key[1])[:1]:
        return [name for name in _odd_generators(one.looks[key], other.looks[key]) if name in one.looks[key]["drawn"]]
    return []


def _without_seed(case: Case) -> set[str]:
    """The generators of the process that differ where nothing was interrupted: the program gives them no seed."""
    one, other = case.whole.looks, case.again.looks
    return {name for key in set(one) & set(other) for name in _odd_generators(one[key], other[key])}


def _is_used(record: RunRecord, name: str) -> bool:
    """Whether the generator moved during the run. A generator that is not used may have any state."""
    return len({look["generators"].get(name) for look in record.looks.values()}) > 1


# --- the interrupted run ---


def _before_any_resume(broken: RunRecord, first: Difference) -> Diagnosis | None:
    """The cause if the difference came about in the first attempt: nothing was restored yet."""
    evidence = f"before the first resume: {first.text}"
    if len(broken.attempts) == 1:
        paused = any(event["do"] == PAUSE for event in broken.events("act"))
        return Diagnosis(causes.CLOCK if paused else causes.SAVING, (evidence,))
    restored = next((e["step"] for e in broken.attempts[1].events if e["kind"] == "start"), None) or 0
    before = first.step <= restored if first.where == CHECKPOINT else first.step < restored
    return Diagnosis(causes.SAVING, (evidence,)) if before else None


def _noise(case: Case) -> set[str]:
    """Variables that also differ where nothing was interrupted, such as times."""
    found = set()
    for event in case.broken.attempts[0].events:
        if event["kind"] == "act":
            break
        if event["kind"] == "look" and (look := case.whole.looks.get(look_key(event))):
            found |= {one.name for one in _differing(look, event)}
    for key in set(case.whole.looks) & set(case.again.looks):
        found |= {one.name for one in _differing(case.whole.looks[key], case.again.looks[key])}
    return found


def _differing(one: dict[str, Any], other: dict[str, Any]) -> Iterator[Seen]:
    first, second = one["variables"], other["variables"]
    for name in {**first, **second}:
        kinds = [side.get(name, ("", "", "nothing")) for side in (first, second)]
        if kinds[0][1] != kinds[1][1]:
            yield Seen(name, kinds[0][0] or kinds[1][0], kinds[0][2], kinds[1][2])


def _odd_generators(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    first, second = one["generators"], other["generators"]
    return [name for name in first if name in second and first[name] != second[name]]


def _resumes(case: Case) -> Iterator[tuple[dict[str, Any], dict[str, Any], int]]:
    """Looks after a resume: that of the uninterrupted run, that of the other one, and the step of the save."""
    for attempt in case.broken.attempts[1:]:
        start = next((event for event in attempt.events if event["kind"] == "start"), None)
        points = set()
        for event in attempt.events:
            if event["kind"] == "look" and event["point"] not in points and start is not None:
                points.add(event["point"])
                if look := case.whole.looks.get(look_key(event)):
                    yield look, event, start["step"] or 0


def _not_restored(case: Case) -> tuple[list[Seen], int]:
    """Variables that differ right after the first resume after which any differs, and the step of its save."""
    resumed: int | None = None
    seen: dict[str, Seen] = {}
    for look, event, step in _resumes(case):
        if resumed is not None and step != resumed:
            break
        # A number that is that of the restored step tells where the attempt began.
        own = (str(step), str(step - 1), str(step + 1))
        odd = [one for one in _differing(look, event) if one.name not in case.noise and one.other not in own]
        odd = [one for one in odd if one.other != "nothing"]  # not yet set in this attempt
        if odd:
            resumed = step
            seen |= {one.name: one for one in odd}
    return list(seen.values()), resumed or 0


def _by_counts(case: Case, seen: Sequence[Seen]) -> Diagnosis | None:
    """Rows that are missing or too many."""
    odd = case.comparison.differences
    extra = [one for one in odd if one.kind == "extra"]
    missing = [one for one in odd if one.kind == "missing"]
    values = [one for one in odd if one.kind == "value"]
    weights = [one for one in values if one.where == CHECKPOINT]
    lines = [one for one in values + missing + extra if re.search(r": line \d+$", one.name)]
    if lines and not weights and all(one.where == FINAL for one in odd):
        return Diagnosis(causes.FILE_OUTSIDE, (lines[0].text, "all checkpoints are equal"))
    if extra and not weights:
        return Diagnosis(causes.REPEATED_ROWS, (extra[0].text, "all checkpoints are equal"))
    named = any(cause.fits(one.name) for one in seen for cause in causes.BY_NAME)
    if missing and not extra and not (named and weights and weights[0].step < missing[0].step):
        return Diagnosis(causes.MISSING_DATA, (missing[0].text, *_list(seen)))
    if extra and not missing and any(one.where == SERIES for one in extra) and not named:
        return Diagnosis(causes.REPEATED_DATA, (extra[0].text, *_list(seen)))
    return None


def _by_generators(case: Case) -> Diagnosis | None:
    """Generators of the process. One without a seed counts only if the program draws from it because it resumes: else
    two uninterrupted runs would differ.
    """
    without_seed = _without_seed(case)
    for look, event, step in _resumes(case):
        for name in _odd_generators(look, event):
            where = f"right after the resume at step {step}"
            if name not in without_seed and _is_used(case.whole, name):
                return Diagnosis(causes.GENERATOR, (f"{where} the state of {name} differs",))
            if name in without_seed and name in event["drawn"] and name not in look["drawn"]:
                text = f"{where} numbers were drawn from {name}, which has no seed; without the interruption, none were"
                return Diagnosis(causes.UNSEEDED, (text,))
    return None


def _by_unseeded(case: Case) -> Diagnosis | None:
    """Generators without a seed that are drawn from, if nothing else explains the difference."""
    own = [one for look, event, _ in _resumes(case) for one in _differing(look, event) if one.kind == "generator"]
    names = [name for name in sorted(_without_seed(case)) if _is_used(case.whole, name)]
    names += [one.name for one in own if one.name in case.noise]
    text = "has another state in each run, also without interruptions"
    return Diagnosis(causes.UNSEEDED, (f"{names[0]} {text}",)) if names else None


def _by_variables(seen: Sequence[Seen], resumed: int) -> Diagnosis | None:
    where = f"right after the resume at step {resumed}"
    told = [one for one in seen if not re.search(causes.EFFECTS, one.name, re.IGNORECASE)]
    if generators := [one for one in seen if one.kind == "generator"]:
        return Diagnosis(causes.GENERATOR, (f"{where} these differ:", *_list(generators)))
    for cause in causes.BY_NAME:
        if fitting := [one for one in told if cause.fits(one.name)]:
            others = [one for one in told if one not in fitting]
            return Diagnosis(cause, (f"{where} these differ:", *_list([*fitting, *others])))
    return Diagnosis(causes.VARIABLE, (f"{where} these differ:", *_list(told))) if told else None


def _by_names(case: Case) -> Diagnosis | None:
    """By the names of what differs first: no variable of the program was seen."""
    first = case.comparison.first
    assert first is not None
    odd = [one for one in case.comparison.differences if one.step == first.step]
    for cause in causes.BY_NAME:
        if fitting := [one for one in odd if cause.fits(one.name)]:
            return Diagnosis(cause, (fitting[0].text,))
    return None


def _list(seen: Sequence[Seen]) -> tuple[str, ...]:
    more = len(seen) - SHOWN
    return (*map(str, seen[:SHOWN]), *([f"and {more} more"] if more > 0 else []))
