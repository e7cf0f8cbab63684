"""The steps of the demo."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from baton.cli.demo.chart import draw
from baton.cli.demo.checks import Check, Outcome, all_checks, statuses
from baton.cli.demo.workspace import fresh_directory
from baton.cli.history_table import history_table
from baton.cli.times import duration
from baton.cli.watch import Watcher
from baton.client.client import Client
from baton.client.errors import ClientError
from baton.domain.views import JobView
from baton.local.child_stack import LEASE_SECONDS, ChildStack, running
from baton.local.errors import StackError

PLAN = "digits-demo"
KILL_STAGE = 2
TIMEOUT = 900.0
NEWS = frozenset({"attempt_lost", "recovering", "claimed", "restored"})
INTRO = (
    "Baton trains a small convolutional net on 1,797 handwritten digits in four stages of 16, 32, 16 and 32 pixels. "
    f"In the middle of stage {KILL_STAGE} the demo kills the worker with SIGKILL, as if its machine was taken away "
    f"without notice. The worker's lease of {LEASE_SECONDS} s (30 s outside this demo) expires, and the service gives "
    "the job to another worker, which continues from the last checkpoint. At the end the demo checks that no epoch is "
    "lost or repeated."
)


def run_demo(data: Path, console: Console) -> int:
    """Runs the demo. Returns its exit status: 0 if every check holds."""
    started = time.monotonic()
    root = fresh_directory(data)
    console.print(Panel(INTRO, title="Baton demo", width=min(console.width, 112)))
    _tell(console, f"Starting Redis, the service and one worker in {root} ...")
    stack = ChildStack(root)
    with running(stack) as connection, Client(connection.url, connection.token) as client:
        try:
            outcome, files = _train(client, stack, console, root)
        except TimeoutError:
            raise StackError(f"the job has not ended after {TIMEOUT:g} s; see {stack.data / 'logs'}") from None
        _tell(console, "Stopping the stack ...")
    left = stack.left_behind()
    ended = Check(not left, "all processes have ended" + (f", except {', '.join(left)}" if left else ""))
    status = _conclude(console, [*all_checks(outcome), ended], files, time.monotonic() - started)
    if status:
        _tell(console, f"See the logs in {stack.data / 'logs'}.")
    return status


def _tell(console: Console, text: str) -> None:
    console.print(Text(text, style="bold"), soft_wrap=True)


def _train(client: Client, stack: ChildStack, console: Console, root: Path) -> tuple[Outcome, list[Path]]:
    job = client.submit_plan(PLAN)
    _tell(console, f"Submitted the plan {PLAN} to {client.url} as job {job.id}.")
    act = Act(client, stack, console)
    outcome = act.play(job)
    console.print(history_table(outcome.history))
    return outcome, _collect(client, outcome, root, console)


class Act:
    """Watches the job, kills its worker once, and then prints the job's events."""

    def __init__(self, client: Client, stack: ChildStack, console: Console) -> None:
        self._client = client
        self._stack = stack
        self._console = console
        self._killed_at: int | None = None
        self._printed = 0

    def play(self, job: JobView) -> Outcome:
        """Returns the outcome when the job has ended."""
        with Watcher(self._console) as watcher:
            for job in self._client.follow(job.id, timeout=TIMEOUT):  # noqa: B020, PLR1704  # the same job, later
                if self._killed_at is not None:
                    self._print_events(job, watcher.note)
                elif kill_now(job):
                    self._kill(job, watcher.note)
                watcher.show(job)
        return Outcome(
            job=job,
            history=self._client.history(job.id),
            attempts=self._client.attempts(job.id),
            statuses=statuses(self._client.events(job.id)),
            killed_at=self._killed_at,
            epochs=sum(int(stage["epochs"]) for stage in job.spec["stages"]),
            total_steps=job.progress.total_steps if job.progress else 0,
        )

    def _kill(self, job: JobView, say: Callable[[str], None]) -> None:
        assert job.progress is not None
        self._printed = len(self._client.events(job.id))
        pid = self._stack.kill_worker()
        p = job.progress
        self._killed_at = p.global_step
        say(
            f"=> killed the worker (process group {pid}, SIGKILL) in stage {p.stage}, epoch {p.epoch}, "
            f"step {p.step} of {p.steps} (global step {p.global_step})"
        )

    def _print_events(self, job: JobView, say: Callable[[str], None]) -> None:
        # A waiting worker claims the job within milliseconds: polls would miss states that the events contain.
        for event in self._client.events(job.id, after=self._printed):
            self._printed = event.sequence
            if event.kind in NEWS:
                say(f"=> {event.at.astimezone():%H:%M:%S} {event.message}")


def kill_now(job: JobView) -> bool:
    """Whether to kill the worker now: in the middle of an epoch of KILL_STAGE, after a checkpoint of that stage.

    If that moment was missed: in the middle of an epoch of a later stage.
    """
    progress, checkpoint = job.progress, job.checkpoint
    if job.status != "running" or progress is None or checkpoint is None or progress.stage < KILL_STAGE:
        return False
    if progress.stage == KILL_STAGE and checkpoint.global_step <= stage_start(job):
        return False
    middle = 0 < progress.step < progress.steps
    return middle and progress.global_step > checkpoint.global_step


def stage_start(job: JobView) -> int:
    """The global step at which the current stage began."""
    assert job.progress is not None
    before = sum(int(stage["epochs"]) for stage in job.spec["stages"][: job.progress.stage - 1])
    epochs_in_stage = job.progress.epoch - 1 - before
    return job.progress.global_step - job.progress.step - epochs_in_stage * job.progress.steps


def _collect(client: Client, outcome: Outcome, root: Path, console: Console) -> list[Path]:
    files = []
    for name in ("best.keras", "history.csv"):
        try:
            files.append(client.download(outcome.job.id, name, root / name))
        except ClientError as error:
            _tell(console, f"{name} could not be downloaded: {error}")
    if outcome.history:
        kills = [] if outcome.killed_at is None else [outcome.killed_at]
        files.insert(0, draw(outcome.history, "digits-demo: loss and accuracy", kills, root / "loss-curve.png"))
    return files


def _conclude(console: Console, checks: list[Check], files: list[Path], seconds: float) -> int:
    complete = Check(len(files) == 3, f"{len(files)} of 3 files were written: loss curve, best.keras, history.csv")
    for check in (*checks, complete):
        mark, style = ("ok  ", "green") if check.holds else ("FAIL", "bold red")
        console.print(Text(mark, style=style).append(f"  {check.text}", style="default"), soft_wrap=True)
    for path in files:
        console.print(f"  {path}", soft_wrap=True)
    failed = sum(not check.holds for check in (*checks, complete))
    _tell(console, f"{'Done' if not failed else f'{failed} checks FAILED'} in {duration(seconds)}.")
    return 1 if failed else 0
