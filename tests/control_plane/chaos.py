"""`make chaos-control MINUTES=20`: jobs on a cluster under fault injection. All must end as if nothing had happened.

The exit status is 1 if something is wrong. SEED=... draws the same jobs and faults again. Their exact timing depends on
the machine too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, or_, select

from baton.domain.states import ACTIVE_JOBS, AttemptState, JobState
from service.db.tables import Artifact, Job
from service.usecases.deletion import LAST_WRITE
from tests.control_plane.backlog import plant_backlog
from tests.control_plane.cluster import RETENTION, Cluster, running_town
from tests.control_plane.fault_injector import FaultInjector
from tests.control_plane.fault_schedule import faults
from tests.control_plane.invariants import Chain, Invariants
from tests.control_plane.orders import Order, orders
from tests.control_plane.record import Record
from tests.control_plane.steady_workers import SteadyWorkers
from tests.control_plane.users import Users

JOBS, JOBS_A_MINUTE = 100, 60
BACKLOG = 20_000
BLOW_EVERY = 1.2
DRAIN_SECONDS, SETTLE_SECONDS = 180.0, 180.0
"""After the fault injection: the longest time in which no job ends while jobs are open, and the time for files
after that.
"""


@dataclass
class Outcome:
    """The result of a run."""

    seed: int
    wrong: list[str]
    faults: Counter[str]
    states: Counter[str]
    attempts: Counter[str]
    refused: int
    losses: Counter[str]
    user_tries: int
    beats: int
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = {
            "jobs": self.states,
            "faults": self.faults,
            "attempts": self.attempts,
            "chunks lost": self.losses,
        }
        report = [f"{name}: {_listed(counts)}" for name, counts in lines.items()]
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        report.append(
            f"{self.attempts[AttemptState.LOST]} leases expired, {self.refused} writes were refused as lease-lost, "
            f"users asked {self.user_tries} times, steady workers beat {self.beats} times"
        )
        report.append(f"seed {self.seed}: {len(self.wrong)} things wrong; {spent}")
        return "\n".join(report)


def run(
    folder: Path, seed: int, seconds: float, *, jobs: int = JOBS, postgres: bool = True, backlog: int = BACKLOG
) -> Outcome:
    """Inject faults for this many seconds, and return the outcome.

    `backlog`: the number of queued jobs that no worker takes.
    """
    begun = time.monotonic()
    with running_town(folder, seed, postgres=postgres) as cluster:
        cluster.start()
        steady = SteadyWorkers([service.url for service in cluster.services])
        steady.start()
        with cluster.services[0].client() as http:
            plant_backlog(http, cluster.database, backlog)
        started = time.monotonic()
        ordered = orders(seed, jobs, 0.8 * seconds)
        users, injector = Users(cluster.front, ordered, seed, cluster.open_jobs, JOBS), FaultInjector(cluster)
        asking = users.start()
        injector.inject_all(faults(seed, seconds, BLOW_EVERY), started + seconds)
        injector.calm()
        calm = time.monotonic()
        users.enough = True
        asking.join(DRAIN_SECONDS)
        invariants = _invariants(cluster, users, ordered)
        wrong = _drained(cluster, injector, invariants)
        if asking.is_alive():  # an owner retries a job that ended during the drain
            asking.join(DRAIN_SECONDS)
            wrong += _drained(cluster, injector, invariants)
        if asking.is_alive():
            wrong.append("a user's requests were not all carried out")
        # Orders may have been accepted during the drain.
        invariants = _invariants(cluster, users, ordered)
        for mend in injector.poisoned.values():
            mend()
        steady.end()
        wrong += _still_open(cluster, [*steady.jobs, *injector.poisoned])
        drained = time.monotonic()
        wrong += [*users.wrong, *injector.wrong, *steady.wrong, *invariants.of_all()]
        records = invariants.records()
        wrong += _not_deleted(cluster, injector, invariants, records)
        outcome = _outcome(cluster, injector, users, steady, records, seed, wrong)
        if wrong:
            (folder / "wrong.txt").write_text("\n".join(wrong))
    outcome.seconds = {
        "start": started - begun,
        "fault injection": calm - started,
        "drain": drained - calm,
        "in all": time.monotonic() - begun,
    }
    return outcome


def _invariants(cluster: Cluster, users: Users, ordered: list[Order]) -> Invariants:
    by_number = {order.number: order for order in ordered}
    jobs = {job: by_number[number] for number, job in users.accepted.items()}
    return Invariants(cluster.database, cluster.open_store(), jobs, Chain())


def _drained(cluster: Cluster, injector: FaultInjector, invariants: Invariants) -> list[str]:
    """Descriptions of the jobs that are still open after enough time."""
    before = invariants.unfinished()
    while before:
        left = before
        if not _within(DRAIN_SECONDS, injector, lambda left=left: len(invariants.unfinished()) < len(left)):  # type: ignore[misc]
            return [f"open after {DRAIN_SECONDS:.0f} s in which nothing ended: {one}" for one in left]
        before = invariants.unfinished()
    if not _within(SETTLE_SECONDS, injector, lambda: not _unpublished(cluster)):
        return [f"{_unpublished(cluster)} files were not published within {SETTLE_SECONDS:.0f} s"]
    return []


def _still_open(cluster: Cluster, job_ids: list[str]) -> list[str]:
    """The names of those jobs that have not ended although nothing prevents it."""
    query = select(Job.name).where(Job.id.in_(job_ids), Job.state.in_([*ACTIVE_JOBS]))

    def left() -> list[str]:
        with cluster.database.read() as session:
            return list(session.scalars(query))

    give_up = time.monotonic() + DRAIN_SECONDS
    while left() and time.monotonic() < give_up:
        time.sleep(0.5)
    return [f"{name} is still open after {DRAIN_SECONDS:.0f} s" for name in left()]


def _within(seconds: float, injector: FaultInjector, condition: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        injector.watch()
        time.sleep(0.5)
    return True


def _not_deleted(cluster: Cluster, injector: FaultInjector, invariants: Invariants, records: list[Record]) -> list[str]:
    """What is left of the jobs that users or retention deleted, and objects in the store whose job has no row."""
    if cluster.postgres is None:
        return []  # the clock of SQLite cannot be set
    cluster.step_clock(2 * RETENTION.total_seconds())
    with cluster.services[0].client() as http:
        http.post("/v1/prune").raise_for_status()
    cluster.step_clock(2 * RETENTION.total_seconds() + 2 * LAST_WRITE.total_seconds())
    jobs = (record.job for record in records)
    deleted = {job.id for job in jobs if job.deleted_at is not None or job.state == JobState.SUCCEEDED}
    _within(DRAIN_SECONDS, injector, lambda: not invariants.left_of(deleted))
    return [f"{one} was not deleted" for one in invariants.left_of(deleted)]


def _unpublished(cluster: Cluster) -> int:
    """The number of files of jobs, except deleted ones, that are not published."""
    changed = or_(Artifact.published.is_(None), Artifact.published != Artifact.object)
    query = select(func.count()).select_from(Artifact).join(Job, Job.id == Artifact.job_id)
    with cluster.database.read() as session:
        return session.scalar(query.where(changed, Job.deleted_at.is_(None))) or 0


def _outcome(
    cluster: Cluster,
    injector: FaultInjector,
    users: Users,
    steady: SteadyWorkers,
    records: list[Record],
    seed: int,
    wrong: list[str],
) -> Outcome:
    losses: Counter[str] = Counter()
    for proxy in cluster.links.values():
        losses.update(proxy.happened)
    return Outcome(
        seed=seed,
        wrong=wrong,
        faults=injector.counts,
        states=Counter(record.job.state for record in records),
        attempts=Counter(row.state for record in records for row in record.attempts),
        refused=cluster.refused["lease-lost"],
        losses=losses,
        user_tries=users.tries,
        beats=steady.beats,
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.most_common()) or "none"


def main() -> int:
    """Run it, and return the exit status."""
    options = _arguments()
    seed = options.seed if options.seed is not None else int(time.time())
    seconds = 60 * options.minutes
    jobs = options.jobs or max(JOBS, int(JOBS_A_MINUTE * options.minutes))
    folder = Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    print(f"seed {seed}: {jobs} jobs, {options.minutes:g} minutes of fault injection on {options.database}", flush=True)
    outcome = run(folder, seed, seconds, jobs=jobs, postgres=options.database == "postgresql", backlog=options.backlog)
    print(outcome)
    if outcome.wrong:
        print("\n".join(outcome.wrong))
        print(f"the logs are left in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos-control", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the fault injection lasts (%(default)s)")
    parser.add_argument("--seed", type=int, help="of jobs and faults; drawn from the clock where it is not given")
    parser.add_argument("--jobs", type=int, help=f"how many ({JOBS}, or {JOBS_A_MINUTE} a minute)")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="queued jobs that no worker takes (%(default)s)")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql", help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
