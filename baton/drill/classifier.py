"""`baton drill` of a classifier: two jobs of a service of its own, one of which loses its worker again and again.

The worker is killed when the job has reached a drawn step. The service learns of it by the lease, as of any worker that
is lost. Everything that the service and the store hold at the end is compared, and each checkpoint of the same step.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from baton.client.client import Client
from baton.client.errors import ClientError
from baton.domain.manifest import CURSOR, STATE
from baton.domain.views import CheckpointView, JobView
from baton.domain.wire import CLOCK_COLUMNS
from baton.drill.compare import CHECKPOINT, FINAL, HISTORY, Comparison, Difference, compare_leaves
from baton.drill.files.leaf import flat
from baton.drill.files.readers import read_leaves
from baton.drill.options import Options
from baton.drill.program import DrillError
from baton.local.child_stack import ChildStack, running
from baton.program.drill.plan import KILL, PAUSE, TERM

HEARTBEAT = 0.5
SAVES = 12
WITHOUT_TOTAL = 20
ARTIFACTS = ("best.keras", "latest.keras", "history.csv")
_NAMES = {KILL: signal.SIGKILL, TERM: signal.SIGTERM, PAUSE: signal.SIGSTOP}


@dataclass
class ClassifierRun:
    """A job that has ended, and copies of its checkpoints and artifacts in `folder`. `checkpoints`: by global step."""

    name: str
    folder: Path
    job: JobView | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: dict[int, Path] = field(default_factory=dict)
    interruptions: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Steps at the end."""
        return max(self.checkpoints, default=0)


@dataclass
class ClassifierOutcome:
    """What a drill of a classifier has found."""

    options: Options
    whole: ClassifierRun
    broken: ClassifierRun
    comparison: Comparison

    @property
    def interruptions(self) -> list[str]:
        """What was done, in words."""
        return self.broken.interruptions


def drill_classifier(
    body: Mapping[str, Any], options: Options, root: Path, say: Callable[[str], None]
) -> ClassifierOutcome:
    """Drills a classifier. `body`: a spec, or {"plan": NAME, "set": {...}}. `root`: an empty folder.

    Raises:
        DrillError: the job failed without interruptions, or a limit is exceeded.
        StackError: the service cannot run.
    """
    stack = ChildStack(root, heartbeat=HEARTBEAT)
    say("starting Redis, a service and one worker")
    with running(stack) as connection, Client(connection.url, connection.token) as client:
        spec = _spec(client, body)
        stand = Stand(client, stack, options, root)
        whole = stand.train(spec, "without interruptions", [])
        say(f"{whole.steps} steps in {whole.seconds:.0f} s; now with {options.kills} interruptions")
        broken = stand.train(spec, "with interruptions", _schedule(whole.steps, options))
    return ClassifierOutcome(options, whole, broken, compare_jobs(whole, broken, options.ignored))


def _spec(client: Client, body: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with a cadence in steps, so that both jobs save at the same ones, and with patience."""
    plan = body.get("plan")
    found = client.preview(body) if plan is None else client.preview_plan(plan, body["set"])
    steps = found.totals.steps if found.totals is not None else None
    every = max(1, steps // SAVES) if steps else WITHOUT_TOTAL
    retry = {"max_failures": 1000, "max_attempts_without_progress": 1000, "backoff": 0}
    spec = {**found.spec, "name": found.spec.get("name") or "drill"}
    return {**spec, "checkpoint": {"every": f"{every} steps", "keep": 1000}, "retry": retry}


def _schedule(steps: int, options: Options) -> list[tuple[int, str]]:
    """Steps and kinds of the interruptions, one in each of equal parts of the job."""
    draw = random.Random(f"{options.seed}.classifier")  # noqa: S311  # no secret
    kinds = [(KILL, TERM, KILL, PAUSE)[index % 4] for index in range(options.kills)]
    draw.shuffle(kinds)
    part = steps / max(1, options.kills)
    return [(int(index * part + draw.random() * part), kind) for index, kind in enumerate(kinds)]


class WorkerStack(Protocol):
    """A service with its store below `data`, and a worker that is started again when it ends."""

    data: Path

    def signal_worker(self, number: int, *, group: bool = True) -> int:
        """Sends a signal to the worker's process group, or to the worker alone. Returns its process id."""


class Stand:
    """A service with one worker, on which jobs are trained one after the other."""

    def __init__(self, client: Client, stack: WorkerStack, options: Options, root: Path) -> None:
        self._client = client
        self._stack = stack
        self._options = options
        self._root = root
        self._until = time.monotonic() + options.limits.timeout

    def train(self, spec: Mapping[str, Any], name: str, schedule: list[tuple[int, str]]) -> ClassifierRun:
        """Trains a job to its end. Sends the signals when the job has come to their steps."""
        run = ClassifierRun(name, self._root / name.replace(" ", "-"))
        run.folder.mkdir()
        began, left, seen = time.monotonic(), list(schedule), 0
        job: JobView = self._client.submit(spec)
        for job in self._client.follow(job.id, timeout=max(1.0, self._until - time.monotonic())):  # noqa: B020
            self._copy_checkpoints(job.id, run)
            step = job.progress.global_step if job.progress and job.status == "running" else 0
            if left and step > max(left[0][0], seen):
                seen, (_, kind) = step, left.pop(0)
                self._interrupt(kind)
                run.interruptions.append(f"{_NAMES[kind].name} at step {step}")
        if job.status != "succeeded":
            raise DrillError(f"the job {name} ended as {job.status}: {job.reason}; see {self._stack.data / 'logs'}")
        self._finish(job, run)
        run.seconds = time.monotonic() - began
        return run

    def _interrupt(self, kind: str) -> None:
        with suppress(ProcessLookupError):
            pid = self._stack.signal_worker(_NAMES[kind], group=kind != TERM)
            if kind == PAUSE:
                goes_on = threading.Timer(self._options.limits.pause, os.killpg, (pid, signal.SIGCONT))
                goes_on.start()
                goes_on.join()

    def _copy_checkpoints(self, job: str, run: ClassifierRun) -> None:
        """Checkpoints are deleted when the job has succeeded, so they are copied while it runs."""
        for one in self._client.checkpoints(job):
            if one.state == "committed" and one.global_step not in run.checkpoints:
                self._copy(one, run)

    def _copy(self, one: CheckpointView, run: ClassifierRun) -> None:
        target = run.folder / f"step-{one.global_step}"
        with suppress(FileNotFoundError):
            shutil.copytree(self._stack.data / "store" / one.prefix, target)
            run.checkpoints[one.global_step] = target

    def _finish(self, job: JobView, run: ClassifierRun) -> None:
        self._copy_checkpoints(job.id, run)
        run.job = job
        run.history = [json.loads(row.model_dump_json()) for row in self._client.history(job.id)]
        for name in ARTIFACTS:
            with suppress(ClientError):
                self._client.download(job.id, name, run.folder / name)


def compare_jobs(whole: ClassifierRun, other: ClassifierRun, ignored: tuple[str, ...] = ()) -> Comparison:
    """Compares two jobs with the same spec that have ended."""
    found = Comparison(ignored=ignored)
    for one, two in zip(whole.history, other.history, strict=False):
        found.counted["rows"] += 1
        _compare_rows(timeless(one), timeless(two), found)
    if len(whole.history) != len(other.history):
        text = f"history: {len(whole.history)} rows against {len(other.history)}"
        found.add(Difference(HISTORY, whole.steps, "rows", text, "missing"))
    for step in sorted(set(whole.checkpoints) & set(other.checkpoints)):
        found.counted["checkpoints"] += 1
        _compare_checkpoint(step, whole.checkpoints[step], other.checkpoints[step], found)
    if whole.steps != other.steps:
        text = f"the last checkpoint is that of step {whole.steps} against {other.steps}"
        found.add(Difference(CHECKPOINT, max(whole.steps, other.steps), "checkpoints", text, "missing"))
    _compare_ends(whole, other, found)
    found.differences.sort(key=lambda one: one.place)
    return found


def _compare_rows(one: dict[str, Any], two: dict[str, Any], found: Comparison) -> None:
    def add(name: str, text: str, kind: str = "value") -> None:
        step = int(one.get("global_step") or 0)
        found.add(Difference(HISTORY, step, name, f"history, row of epoch {one.get('epoch')}, {text}", kind))

    compare_leaves(dict(flat(one)), dict(flat(two)), "row", add)


def _compare_checkpoint(step: int, one: Path, two: Path, found: Comparison) -> None:
    def add(name: str, text: str, kind: str = "value") -> None:
        found.add(Difference(CHECKPOINT, step, name, f"checkpoint of step {step}, {text}", kind))

    compare_leaves(read_leaves(one / STATE), read_leaves(two / STATE), STATE, add)
    cursors = [timeless(json.loads((side / CURSOR).read_bytes())) for side in (one, two)]
    compare_leaves(dict(flat(cursors[0])), dict(flat(cursors[1])), CURSOR, add)


def _compare_ends(whole: ClassifierRun, other: ClassifierRun, found: Comparison) -> None:
    def add(name: str, text: str, kind: str = "value") -> None:
        found.add(Difference(FINAL, float("inf"), name, text, kind))

    jobs = [json.loads(one.job.model_dump_json(include={"best", "results"})) for one in (whole, other) if one.job]
    compare_leaves(dict(flat(timeless(jobs[0]))), dict(flat(timeless(jobs[1]))), "job", add)
    for name in ARTIFACTS:
        one, two = whole.folder / name, other.folder / name
        if one.exists() and two.exists():
            found.counted["files"] += 1
            compare_leaves(_leaves(one), _leaves(two), name, add)


def _leaves(file: Path) -> dict[str, Any]:
    if file.suffix != ".csv":
        return read_leaves(file)
    head, *rows = (line.split(",") for line in file.read_text().splitlines())
    kept = [column for column, name in enumerate(head) if name not in CLOCK_COLUMNS]
    return dict(flat([{head[column]: row[column] for column in kept} for row in rows]))


def timeless(of: Any) -> Any:
    """JSON without what differs between runs: times, and prefixes, which have the job's id."""
    if isinstance(of, dict):
        return {name: timeless(one) for name, one in of.items() if name not in (*CLOCK_COLUMNS, "prefix")}
    return [timeless(one) for one in of] if isinstance(of, list) else of


def classifier_result(outcome: ClassifierOutcome) -> dict[str, Any]:
    """The whole result for `--json`."""
    from baton.drill.result import difference_view

    comparison = outcome.comparison
    runs = (outcome.whole, outcome.broken)
    return {
        "format": 1,
        "verdict": "equal" if comparison.first is None else "different",
        "seed": outcome.options.seed,
        "ignored": list(outcome.options.ignored),
        "compared": dict(comparison.counted),
        "first_difference": difference_view(comparison.first),
        "first_checkpoint": difference_view(comparison.first_checkpoint),
        "differences": [difference_view(one) for one in comparison.differences],
        "diagnosis": None,
        "runs": [
            {
                "name": run.name,
                "seconds": round(run.seconds, 3),
                "job": run.job.id if run.job else None,
                "checkpoints": sorted(run.checkpoints),
                "interruptions": run.interruptions,
            }
            for run in runs
        ],
    }
