"""Where schedules are run: a real service, a real store, and a training process for each attempt, killed as asked."""

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
from tests.resume.final_states import Ending, ending
from tests.support.fault_points import Shot
from tests.support.jobs import TERMINAL, Jobs
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service
from tests.support.zygote import THREADS, Ended, Zygote
from worker.api_client.client import Refused, ServiceClient

SECONDS_A_JOB = 240.0
# Short enough to wait for, long enough for a busy machine.
LEASE = {"BATON_LEASE_SECONDS": "5", "BATON_HEARTBEAT_SECONDS": "0.5", "BATON_CONDUCTOR_SECONDS": "0.2"}


@dataclass(frozen=True)
class Kill:
    """What happens to one attempt. `reported`: its death is told by a parent that lives on, and not by the lease.

    `fault`: what its process cannot write, see tests.support.fault_points.
    """

    shots: tuple[Shot, ...]
    reported: bool = True
    fault: str = ""


@dataclass
class Run:
    """A job on its way. `fired`: the shots that fell. `expired`: deaths that nobody told but the lease."""

    job: str
    helpers: int = 0
    fired: list[Shot] = field(default_factory=list)
    attempts: int = 0
    expired: int = 0


@dataclass
class Harness:
    """Takes the place of the workers: gives each queued attempt to a training process. For several threads.

    `settings`: of the workers, beside the usual ones.
    """

    service: ServiceProcess
    zygote: Zygote
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, spec: dict[str, Any], kills: Sequence[Kill] = (), helpers: int = 0) -> Run:
        """A job from its submission to its end, with one kill for each attempt until there are none left.

        `helpers`: processes for augmentation.
        """
        with self.service.client() as http:
            run = Run(Jobs(http).submit(spec), helpers)
        self.go_on(run, kills)
        return run

    def go_on(self, run: Run, kills: Sequence[Kill], *, pause: bool = False) -> None:
        """Attempts until the job ends; or, to pause, until the kills are used up."""
        left = list(kills)
        with self.service.client() as http:
            jobs = Jobs(http)
            while (attempt := _next_attempt(jobs, run.job)) is not None and not (pause and not left):
                kill = left.pop(0) if left else None
                run.attempts += 1
                ended = self._attempt(attempt, kill, run.helpers)
                run.fired += ended.fired
                run.expired += bool(ended.status and kill and not kill.reported)

    def watch(self, spec: dict[str, Any]) -> Run:
        """A job that somebody else trains."""
        with self.service.client() as http:
            jobs = Jobs(http)
            run = Run(jobs.submit(spec))
            jobs.await_end(run.job)
        return run

    def ending(self, run: Run) -> Ending:
        """What a job that has ended left behind."""
        with self.service.client() as http:
            return ending(Jobs(http), run.job, open_store(self.service.store_url))

    def _attempt(self, attempt_id: str, kill: Kill | None, helpers: int) -> Ended:
        environment = {
            **self.service.environment,
            "BATON_CACHE": str(self.folder / "cache"),
            "BATON_THREADS": str(THREADS),
            "BATON_AUGMENTATION_PROCESSES": str(helpers),
            "BATON_REPORTS": "0",
            # Each attempt has a worker of its own: one on which training stalled is passed over for a while.
            "BATON_WORKER_NAME": f"stand-{attempt_id}",
            **self.settings,
        }
        shots, fault = (kill.shots, kill.fault) if kill else ((), "")
        ended = self.zygote.run(attempt_id, environment, shots, self.folder / "attempts.log", fault)
        if ended.status and ended.fence is not None and (kill is None or kill.reported):
            self._report(attempt_id, ended.fence, ended)
        return ended

    def _report(self, attempt_id: str, fence: int, ended: Ended) -> None:
        """What the parent of a training process does when that one dies."""
        text = f"the training process ended with {ended.status}"
        reason = Reason.STALLED if ended.stalled else Reason.PROCESS_DIED
        client = ServiceClient(self.service.url, TOKEN)
        with contextlib.closing(client), contextlib.suppress(LeaseLost, Refused):
            client.finish(
                attempt_id,
                Finish(fence=fence, outcome=Outcome.FAILED, reason=reason, message=text),
            )


def _next_attempt(jobs: Jobs, job: str) -> str | None:
    """The attempt to run next; None once the job has ended."""
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
    """A stand on SQLite and a directory store, gone at the end. `settings`: of the service, see `running_service`."""
    with running_redis() as redis, running_service(folder, redis.url, **{**LEASE, **settings}) as service:
        yield Harness(service, zygote, folder)
