"""`make bench-deadline`: jobs over several sessions (`baton worker --deadline`), and how early each hand-over was.

Service, Redis, workers and training are real. A run is one job. Workers train it one after another, each for one
session, until the job has succeeded. A hand-over is in time if its attempt ended and its checkpoint was committed
before the deadline.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.figures import heading
from bench.handover import instant
from bench.jobs import job as spec
from tests.support.jobs import TERMINAL, Jobs
from tests.support.redis import running_redis
from tests.support.service import running_service
from tests.support.worker import Workers, workers

RUNS, SESSION_SECONDS, SESSIONS = 20, 60.0, 8
# With the default grace of 25 s, a session of one minute would be too short for any attempt.
GRACE_SECONDS = "5"
STEPS = 600


@dataclass(frozen=True)
class HandOver:
    """The end of one session: seconds from the attempt's end to the deadline; whether its last step was committed."""

    early: float
    complete: bool


@dataclass(frozen=True)
class Run:
    """One job."""

    status: str
    handovers: list[HandOver]
    contiguous: bool

    @property
    def held(self) -> bool:
        """Whether all hand-overs were in time, without repeated steps, and the job succeeded."""
        in_time = all(h.early > 0 and h.complete for h in self.handovers)
        return self.status == "succeeded" and self.contiguous and in_time and bool(self.handovers)


def run(jobs: Jobs, made: Workers, queue: str, seconds: float, steps: int) -> Run:
    """Train a job in as many sessions as it needs, on a separate queue."""
    stage = {"image_size": 32, "batch_size": 32, "epochs": 1, "steps_per_epoch": steps}
    job = jobs.submit(spec(stages=[stage], checkpoint={"every": f"{10**8} steps"}, queue=queue))
    deadlines: dict[str, float] = {}
    for _ in range(SESSIONS):
        worker = made.start("--queue", queue, "--deadline", f"{seconds:g}s", BATON_GRACE=GRACE_SECONDS)
        deadlines[worker.name] = time.time() + seconds
        while worker.process is not None and worker.process.poll() is None:
            if jobs.show(job)["status"] in TERMINAL:
                worker.kill_group()
            time.sleep(0.2)
        if jobs.show(job)["status"] in TERMINAL:
            break
    return _judge(jobs, job, deadlines)


def _judge(jobs: Jobs, job: str, deadlines: dict[str, float]) -> Run:
    attempts = jobs.items(job, "attempts")
    committed = {e["data"]["global_step"] for e in jobs.items(job, "events") if e["kind"] == "checkpoint"}
    handed = [a for a in attempts if a["worker"] and a["state"] == "preempted"]
    handovers = [
        HandOver(deadlines[a["worker"]] - instant(a["finished_at"]), a["end_step"] in committed) for a in handed
    ]
    starts, ends = [a["start_step"] for a in attempts[1:]], [a["end_step"] for a in attempts[:-1]]
    return Run(jobs.show(job)["status"], handovers, starts == ends)


def main() -> int:
    """Measure and print. Exit status 1 if a hand-over was late or a job failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.deadline")
    parser.add_argument("-n", "--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=float, default=SESSION_SECONDS, help="length of a session")
    parser.add_argument("--steps", type=int, default=STEPS, help="length of a job")
    parser.add_argument("--at-once", type=int, default=1, help="concurrent runs")
    options = parser.parse_args()
    heading(
        f"deadline: {options.runs} jobs of {options.steps} steps, {options.at_once} at once, "
        f"sessions of {options.seconds:g} s"
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="baton-bench-")))
        redis = stack.enter_context(running_redis())
        service = stack.enter_context(running_service(folder, redis.url))
        made, http = stack.enter_context(workers(service, folder)), stack.enter_context(service.client())
        pool = stack.enter_context(ThreadPoolExecutor(options.at_once))

        def one(number: int) -> Run:
            done = run(Jobs(http), made, f"run-{number}", options.seconds, options.steps)
            early = ", ".join(f"{h.early:.1f}" for h in done.handovers)
            print(f"run {number:2}: {done.status}, committed before the deadline by {early or '-'} s", flush=True)
            return done

        found = list(pool.map(one, range(1, options.runs + 1)))
    early = sorted(h.early for one in found for h in one.handovers)
    held = sum(one.held for one in found)
    if early:
        print(f"\n{len(early)} hand-overs: {early[0]:.1f} to {early[-1]:.1f} s before the deadline")
    print(f"{held} of {len(found)} runs handed over in time, repeated no step and succeeded")
    return 0 if held == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
