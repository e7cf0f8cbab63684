"""Runs schedules: a real service, a real store, and for each attempt a training process that is killed as the
schedule says.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from baton.domain.errors import LeaseLost
from baton.domain.reasons import Reason
from baton.domain.wire import Finish, Outcome
from baton.storage import open_store
from tests.resume.final_states import FinalState, ending
from tests.resume.program_states import program_ending
from tests.support.fault_points import Shot
from tests.support.jobs import TERMINAL, Jobs
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service
from tests.support.zygote import THREADS, Ended, Zygote
from worker.api_client.client import Refused, ServiceClient

SECONDS_A_JOB = 240.0
# Short enough to wait for, long enough for a busy machine.
LEASE = {"BATON_LEASE_SECONDS": "5", "BATON_HEARTBEAT_SECONDS": "0.5", "BATON_CONDUCTOR_SECONDS": "0.4"}


@dataclass(frozen=True)
class Kill:
    """The fault of one attempt. `reported`: a parent process reports the death; otherwise the lease expires.

    `fault`: what the process cannot write, see tests.support.fault_points.
    """

    shots: tuple[Shot, ...]
    reported: bool = True
    fault: str = ""


@dataclass
class Run:
    """A job that is being trained.

    `program`: whether it runs a program. `fired`: the shots that were fired. `expired`: the number of deaths that only
    the lease showed.
    """

    job: str
    helpers: int = 0
    through_service: bool = False
    program: bool = False
    fired: list[Shot] = field(default_factory=list)
    attempts: int = 0
    expired: int = 0


@dataclass
class Harness:
    """Replaces the workers: runs each queued attempt in a training process. It can be used from several threads.

    `settings`: of the workers, in addition to the usual ones.
    """

    service: ServiceProcess
    zygote: Zygote
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def run(
        self, spec: dict[str, Any], kills: Sequence[Kill] = (), helpers: int = 0, *, through_service: bool = False
    ) -> Run:
        """Run a job from its submission to its end, with one kill for each attempt until no kill is left.

        `helpers`: the number of augmentation processes. `through_service`: the workers have no store of their own.
        """
        with self.service.client() as http:
            run = Run(Jobs(http).submit(spec), helpers, through_service, "program" in spec)
        self.go_on(run, kills)
        return run

    def go_on(self, run: Run, kills: Sequence[Kill], *, pause: bool = False) -> None:
        """Run attempts until the job ends; with `pause`, until all kills are used."""
        left = list(kills)
        with self.service.client() as http:
            jobs = Jobs(http)
            while (attempt := _next_attempt(jobs, run.job)) is not None and not (pause and not left):
                kill = left.pop(0) if left else None
                run.attempts += 1
                ended = self._attempt(attempt, kill, run)
                run.fired += ended.fired
                run.expired += bool(ended.status and kill and not kill.reported)

    def watch(self, spec: dict[str, Any]) -> Run:
        """Submit a job that another process trains, and wait for its end."""
        with self.service.client() as http:
            jobs = Jobs(http)
            run = Run(jobs.submit(spec))
            jobs.await_end(run.job)
        return run

    def ending(self, run: Run) -> FinalState:
        """The final state of a job that has ended."""
        end = program_ending if run.program else ending
        with self.service.client() as http:
            return end(Jobs(http), run.job, open_store(self.service.store_url))

    def _attempt(self, attempt_id: str, kill: Kill | None, run: Run) -> Ended:
        environment = {
            **self.service.environment,
            "BATON_CACHE": str(self.folder / "cache"),
            "BATON_THREADS": str(THREADS),
            "BATON_AUGMENTATION_PROCESSES": str(run.helpers),
            "BATON_REPORTS": "0",
            "BATON_PROGRAMS": str(run.program),
            # Each attempt has its own worker name, because a worker whose training stalled is passed over for a while.
            "BATON_WORKER_NAME": f"stand-{attempt_id}",
            **({"BATON_STORE": "service"} if run.through_service else {}),
            **self.settings,
        }
        shots, fault = (kill.shots, kill.fault) if kill else ((), "")
        log = self.folder / "attempts.log"
        ended = self.zygote.run(attempt_id, environment, shots, log, fault, program=run.program)
        if ended.status and ended.fence is not None and (kill is None or kill.reported):
            self._report(attempt_id, ended.fence, ended)
        return ended

    def _report(self, attempt_id: str, fence: int, ended: Ended) -> None:
        """Report the end of a training process, as its parent does."""
        text = f"the training process ended with {ended.status}"
        reason = Reason.STALLED if ended.stalled else Reason.PROCESS_DIED
        client = ServiceClient(self.service.url, TOKEN)
        with contextlib.closing(client), contextlib.suppress(LeaseLost, Refused):
            client.finish(
                attempt_id,
                Finish(fence=fence, outcome=Outcome.FAILED, reason=reason, message=text),
            )


def _next_attempt(jobs: Jobs, job: str) -> str | None:
    """The next attempt to run, or None when the job has ended."""
    deadline, pause = time.monotonic() + SECONDS_A_JOB, threading.Event()
    while time.monotonic() < deadline:
        if jobs.show(job)["status"] in TERMINAL:
            return None
        queued = [attempt for attempt in jobs.items(job, "attempts") if attempt["state"] == "queued"]
        if queued:
            return str(queued[0]["id"])
        pause.wait(0.05)
    raise AssertionError(f"no attempt of job {job} to run: {jobs.show(job)}\n{jobs.items(job, 'attempts')}")


@contextlib.contextmanager
def running_stand(folder: Path, zygote: Zygote, **settings: str) -> Iterator[Harness]:
    """A harness on SQLite and a directory store, stopped at the end.

    `settings`: of the service, see `running_service`.
    """
    with running_redis() as redis, running_service(folder, redis.url, **{**LEASE, **settings}) as service:
        yield Harness(service, zygote, folder)
