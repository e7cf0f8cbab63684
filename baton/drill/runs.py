"""Runs a program to its end: once through, or with interruptions."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from baton.client.packing.selection import Selection
from baton.drill.process import Attempt, Limits, run_attempt
from baton.drill.program import DrillError, Program, RunFolder
from baton.drill.record import RunRecord
from baton.drill.schedule import Interruption
from baton.program.drill.plan import KILL, PAUSE, SAVE, SAVE_COMMITTED, Act, Plan

Tell = Callable[[str, dict[str, Any]], None]
"""Gets the name of the run and its counts."""

_MISSING = re.compile("No such file|FileNotFound|ModuleNotFound|does not exist")


@dataclass
class Runs:
    """Runs one program several times, each time in a folder of its own below `root`. `spread`: see Plan."""

    program: Program
    root: Path
    seed: int
    spread: int
    limits: Limits
    tell: Tell
    files: Selection = field(init=False)

    def __post_init__(self) -> None:
        self.files = self.program.files()
        self.limits = replace(self.limits, began=time.monotonic())

    def whole(self, name: str, *, until: int | None = None, hash_seed: str | None = None) -> RunRecord:
        """A run without interruptions. `until`: it is killed after the save of this number.

        Raises:
            DrillError: the program failed, or made no save and no record.
        """
        record = RunRecord(name, RunFolder(self.root, name, self.files))
        acts = () if until is None else (Act(SAVE, until, SAVE_COMMITTED, KILL),)
        plan = self._plan(record, 1, spread=self.spread, acts=acts)
        attempt = self._attempt(record, 1, plan, hash_seed)
        record.attempts.append(attempt)
        if not (attempt.finished or (until is not None and attempt.killed)):
            said = attempt.last_words()
            hint = self._hint() if _MISSING.search(said) else ""
            raise DrillError(f"the program failed without any interruption: {_status(attempt)}\n{said}{hint}")
        if not any(event["kind"] == "start" for event in attempt.events):
            raise DrillError(
                f"the program did not call baton.init(), so there is nothing to drill\n{attempt.last_words()}"
            )
        return record

    def interrupted(self, name: str, ticks: Sequence[int], schedule: Sequence[Interruption]) -> RunRecord:
        """A run with these interruptions, each of which is followed by another attempt. It ends when the program ends,
        or with an attempt that failed.
        """
        record = RunRecord(name, RunFolder(self.root, name, self.files))
        left, moved = list(schedule), False
        while True:
            number = len(record.attempts) + 1
            plan = self._plan(record, number, ticks=tuple(ticks), acts=tuple(one.act for one in left))
            attempt = replace(self._attempt(record, number, plan), moved=moved)
            record.attempts.append(attempt)
            done = [one for one in left if one.act in attempt.acts]
            left = [one for one in left if one not in done]
            if attempt.finished or attempt.failed or number > len(schedule) + 1:
                return record
            ended = [one for one in done if one.act.do != PAUSE]
            moved = bool(ended) and ended[-1].moved
            if moved:
                record.folder.new_copy()

    def _plan(self, record: RunRecord, number: int, **fields: Any) -> Plan:
        trace = str(record.folder.root / f"trace-{number}.jsonl")
        return Plan(trace, seed=self.seed, others_group=os.getpgrp(), **fields)

    def _attempt(self, record: RunRecord, number: int, plan: Plan, hash_seed: str | None = None) -> Attempt:
        # Python draws the order of sets in each process. Here it is drawn from the seed, so that a drill is repeatable.
        drawn = str(random.Random(f"{self.seed}.{record.name}.{number}").randrange(1, 2**32))  # noqa: S311
        program = replace(self.program, hash_seed=hash_seed or drawn)
        return run_attempt(
            program, record.folder, number, plan, self.limits, lambda counts: self.tell(record.name, counts)
        )

    def _hint(self) -> str:
        out = [f"{one.path} {one.why}" for one in self.files.left_out]
        text = "It runs in a copy of the files that `baton submit --code` would send; what git ignores is not there. "
        return f"\n{text}Give data with --data NAME=PATH." + (f" Left out: {', '.join(out[:10])}" if out else "")


def _status(attempt: Attempt) -> str:
    return f"signal {-attempt.status}" if attempt.status < 0 else f"exit status {attempt.status}"
