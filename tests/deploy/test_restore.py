"""Backup and restore with the commands of docs/how-to/backup-and-upgrade.md, on a real PostgreSQL and a store."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.postgres import ADMIN, PostgresServer
from tests.support.redis import RedisServer, running_redis
from tests.support.service import ROOT, ServiceProcess
from tests.support.worker import workers as make_workers

PAGE = (ROOT / "docs/how-to/backup-and-upgrade.md").read_text()
LONG = {"epochs": 1, "steps": 2000, "every": 100, "fake": {"step-seconds": "0.002"}}


def documented(start: str) -> list[str]:
    """The words of the page's command that begins with `start`."""
    (found,) = re.findall(rf"^ *({start} [^\n<>]*)", PAGE, re.M)
    return str(found).split()


@dataclass
class Site:
    """A service on a PostgreSQL, with a store and workers."""

    server: PostgresServer
    redis: RedisServer
    folder: Path
    database: str

    @property
    def service(self) -> ServiceProcess:
        return ServiceProcess(
            self.server.url(self.database),
            self.redis.url,
            (self.folder / "store").as_uri(),
            self.folder / "service.log",
            settings={"BATON_HEARTBEAT_SECONDS": "0.5"},
        )

    def run(self, command: list[str], **more: Any) -> bytes:
        """Run a program of PostgreSQL as the administrator."""
        known = ["--host", str(self.server.folder), "--username", ADMIN]
        words = [str(self.server.binaries / command[0]), *known, *command[1:]]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, **more).stdout


@pytest.fixture
def site(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    with running_redis() as redis:
        database = postgres_server.create()
        yield Site(postgres_server, redis, tmp_path, database)
        postgres_server.drop(database)


def trained(site: Site, job: str | None, least: int) -> str:
    """Train for a while, stop worker and service as before a backup, and return the job's id."""
    service = site.service
    with make_workers(service, site.folder, "tests.support.fake_worker") as workers:
        try:
            service.start()
            with service.client() as http:
                jobs = Jobs(http)
                job = job or jobs.submit(fast(**LONG))
                worker = workers.start()
                jobs.await_job(job, lambda view: step_of(view) >= least)
                worker.terminate()
                assert worker.process is not None
                assert worker.process.wait(60) == 0
            assert service.terminate() == 0
        finally:
            service.kill()
    return job


def step_of(view: dict[str, Any]) -> int:
    return int((view["checkpoint"] or {}).get("global_step") or 0)


def restored(site: Site, dump: bytes) -> None:
    """Restore the dump into an empty database, and do what the page says before the service starts."""
    site.server.drop(site.database)
    site.database = site.server.create()
    site.run([*documented("pg_restore"), "--role", "baton", "--dbname", site.database], input=dump)
    (fences,) = re.findall(r"UPDATE jobs SET [^;]*;", PAGE)
    site.run(["psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", site.database, "--command", fences])
    site.redis.client().flushall()


def test_a_job_goes_on_from_a_backup(site: Site) -> None:
    job = trained(site, None, 200)
    dump = site.run([*documented("pg_dump"), "--dbname", site.database])
    store, copy = site.folder / "store", site.folder / "copy"
    shutil.copytree(store, copy)
    assert trained(site, job, 900) == job
    # With the current store: the objects that the backup refers to were deleted since.
    restored(site, dump)
    view, attempts = ended(site, job)
    assert attempts[0]["end_step"] < 900
    assert (view["status"], view["reason"], "restarted" in kinds(site)) == ("failed", "wrong_store", False)
    # With the store from the time of the backup: later steps are trained again, with new fencing tokens.
    shutil.rmtree(store)
    copy.rename(store)
    restored(site, dump)
    view, (first, second) = ended(site, job)
    assert (view["status"], view["failures"]) == ("succeeded", 0), view
    assert (second["start_step"], "restarted" in kinds(site)) == (first["end_step"], False)


def kinds(site: Site) -> set[str]:
    """The kinds of all events."""
    with site.server.connect(site.database) as connection:
        return {str(row[0]) for row in connection.execute("SELECT kind FROM events")}


def ended(site: Site, job: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train the job to its end, and return the job and its attempts."""
    service = site.service
    with make_workers(service, site.folder, "tests.support.fake_worker") as workers:
        try:
            service.start()
            workers.start()
            with service.client() as http:
                jobs = Jobs(http)
                return jobs.await_end(job), jobs.items(job, "attempts")
        finally:
            service.kill()
