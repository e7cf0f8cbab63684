"""`make bench-recovery`: from the signal that ends a worker to the first new step on another one.

Service, Redis and workers are real processes. One endless job goes from worker to worker. The next worker either waits
warm, or is started cold at the moment of the signal. The cold worker is the baseline in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Spread, heading, table
from bench.handover import COMPILE, PARTS, STEPPED, WARM, WorkerLog, change_after, instant, split, until
from bench.jobs import job as spec
from tests.support.jobs import Jobs
from tests.support.redis import running_redis
from tests.support.service import running_service
from tests.support.worker import WorkerProcess, Workers, workers

REPETITIONS, LEASE_SECONDS = 5, 6.0
CHECKPOINT_EVERY = "3s"
TARGET_SECONDS = 10.0
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Case:
    """How the training worker ends, and whether the next worker waits warm."""

    signal: str
    warm: bool

    @property
    def name(self) -> str:
        """The printed name."""
        return f"{self.signal}, {'warm' if self.warm else 'cold'}"


CASES = tuple(Case(signal, warm) for signal in ("SIGTERM", "SIGKILL") for warm in (True, False))
Found = dict[Case, list[dict[str, float]]]


class Relay:
    """One job, and the worker that trains it now."""

    def __init__(self, made: Workers, jobs: Jobs) -> None:
        self._workers, self._jobs = made, jobs
        self._job = jobs.submit(spec(checkpoint={"every": CHECKPOINT_EVERY}))
        self._attempt = 1
        self._training = made.start()
        self._await_commit()

    def hand_over(self, case: Case) -> dict[str, float]:
        """End the training worker. Returns the parts of the time until the next worker trains."""
        following = self._warm_worker() if case.warm else None
        signalled = time.time()
        if case.signal == "SIGTERM":
            self._training.terminate()
        else:
            self._training.kill_group()
        following = following or self._workers.start()
        change = until(lambda: change_after(self._jobs, self._job, self._attempt), "next attempt")
        parts = split(signalled, change, WorkerLog(following))
        self._reap()
        self._training, self._attempt = following, self._attempt + 1
        self._await_commit()
        return parts

    def _warm_worker(self) -> WorkerProcess:
        worker = self._workers.start()
        WorkerLog(worker).wait(WARM)
        time.sleep(SETTLE_SECONDS)
        return worker

    def _reap(self) -> None:
        process = self._training.process
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process is not None:
                process.wait(30)
        self._training.kill_group()

    def _await_commit(self) -> None:
        """Wait for a commit, because the job fails after some attempts without one."""
        begun = WorkerLog(self._training).wait(STEPPED).at

        def committed() -> bool | None:
            return any(instant(c["committed_at"]) > begun for c in self._jobs.items(self._job, "checkpoints")) or None

        until(committed, "checkpoint")


@contextlib.contextmanager
def _relay(folder: Path, lease: float) -> Iterator[Relay]:
    settings = {"BATON_LEASE_SECONDS": f"{lease:g}", "BATON_HEARTBEAT_SECONDS": f"{lease / 3:g}"}
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        service = stack.enter_context(running_service(folder, redis.url, **settings))
        made = stack.enter_context(workers(service, folder))
        yield Relay(made, Jobs(stack.enter_context(service.client())))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS, help="seconds; the service's default is 30")
    options = parser.parse_args()
    heading(
        f"recovery: {options.repetitions} of each, lease {options.lease:g} s, renewed every {options.lease / 3:g} s"
    )
    found: Found = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder, _relay(Path(folder), options.lease) as relay:
        for number in range(options.repetitions):
            for case in CASES[number % 2 :] + CASES[: number % 2]:
                found[case].append(relay.hand_over(case))
    _print(found, options.lease)


def _print(found: Found, lease: float) -> None:
    rows = [(part, *(_cell([one[part] for one in found[case]]) for case in CASES)) for part in (*PARTS, COMPILE)]
    totals = {case: [sum(one.values()) for one in found[case]] for case in CASES}
    apart = {case: [sum(one.values()) - one[COMPILE] for one in found[case]] for case in CASES}
    rows.append(("all: signal to first new step", *(_cell(totals[case]) for case in CASES)))
    rows.append(("all but compile", *(_cell(apart[case]) for case in CASES)))
    print("seconds, median (lowest-highest); a cold worker is started at the moment of the signal: the baseline\n")
    table(("", *(case.name for case in CASES)), rows)
    for signal, limit in (("SIGTERM", TARGET_SECONDS), ("SIGKILL", lease + TARGET_SECONDS)):
        warm, cold = (Spread.of(totals[Case(signal, warm)]).median for warm in (True, False))
        worst = max(apart[Case(signal, True)])
        verdict = "met" if worst <= limit else "MISSED"
        print(
            f"{signal}: warm / cold = {warm / cold:.2f}; target at most {limit:g} s apart from compilation: {verdict}"
        )
        print(f"  (the slowest warm one {worst:.1f} s)")


def _cell(values: list[float]) -> str:
    return f"{Spread.of(values).median:.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
