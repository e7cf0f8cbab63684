"""What the program of a job can reach: not the worker's secrets, its memory, or the socket of another attempt."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.client.client import Client
from baton.storage import open_store
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.program_jobs import program
from tests.support.redis import running_redis
from tests.support.service import ROOT, TOKEN, ServiceProcess, running_service
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers
from worker.programs.scratch import LOCK

READ_OWN_MEMORY = """
import ctypes, os, sys
from baton.system.process_memory import PR_SET_DUMPABLE, hide_memory

def readable():
    child = os.fork()
    if child == 0:
        try:
            open(f"/proc/{os.getppid()}/environ", "rb").read()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

if os.getuid() == 0:  # root may read everything
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # setuid has cleared it
before = readable()
hide_memory()
print(before, readable())
"""
TELL = "import os; print('environment:', dict(os.environ))"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("service"), redis.url) as process:
        yield process


@pytest.fixture
def workers(service: ServiceProcess, tmp_path: Path) -> Iterator[Workers]:
    with make_workers(service, tmp_path, "tests.support.light_worker") as made:
        yield made


@pytest.mark.process
def test_other_processes_of_the_user_cannot_read_the_memory_of_a_worker() -> None:
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", READ_OWN_MEMORY], env=own, capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


def test_a_program_has_no_secret_of_the_worker_in_its_environment(
    jobs: Jobs, workers: Workers, service: ServiceProcess
) -> None:
    workers.start("--programs", AWS_SECRET_ACCESS_KEY="a-secret-of-the-store", BATON_WORKER_NAME="shown")
    job = jobs.submit({**program("none.py"), "program": {"command": [sys.executable, "-c", TELL]}})
    assert jobs.await_end(job)["status"] == "succeeded"
    with Client(service.url, TOKEN) as client:
        log = "".join(client.log_stream(job, 1))
    (line,) = (one for one in log.splitlines() if one.startswith("environment: "))
    environment = ast.literal_eval(line.removeprefix("environment: "))
    assert {name for name in environment if name.startswith("BATON_")} == {
        "BATON_PROGRAM_SOCKET",
        "BATON_PROGRAM_SECRET",
    }
    text = " ".join(environment.values())
    assert TOKEN not in text
    assert service.redis_url not in text
    assert "a-secret-of-the-store" not in text


def test_the_folder_of_an_attempt_is_private_and_is_gone_at_its_end(
    jobs: Jobs, workers: Workers, service: ServiceProcess, tmp_path: Path
) -> None:
    worker = workers.start("--programs")
    told = "import os; folder = os.path.dirname(os.environ['TMPDIR']); print('mode:', oct(os.stat(folder).st_mode))"
    job = jobs.submit({**program("none.py"), "program": {"command": [sys.executable, "-c", told]}})
    assert jobs.await_end(job)["status"] == "succeeded"
    with Client(service.url, TOKEN) as client:
        log = "".join(client.log_stream(job, 1))
    assert "mode: 0o40700" in log
    worker.terminate()
    assert worker.process is not None
    assert worker.process.wait(60) == 0
    assert [one.name for one in (tmp_path / "cache" / "programs" / "attempts").iterdir()] == [LOCK]


def test_a_program_cannot_write_the_objects_of_another_job(
    jobs: Jobs, workers: Workers, service: ServiceProcess, tmp_path: Path
) -> None:
    """It has no token, and the worker writes below the prefix of its own job alone, whatever the names are."""
    workers.start("--programs")
    code = (
        "import baton\n"
        "run = baton.init()\n"
        "with run.save(step=1) as folder:\n"
        "    (folder / '..' / 'outside').write_text('x')\n"
        "    (folder / 'state').write_text('x')\n"
        "try:\n"
        "    run.publish('../../other', __file__)\n"
        "except Exception as error:\n"
        "    print('refused:', error)\n"
    )
    script = tmp_path / "writes.py"
    script.write_text(code)
    job = jobs.submit({**program("none.py"), "program": {"command": [sys.executable, str(script)]}})
    assert jobs.await_end(job)["status"] == "succeeded"
    with Client(service.url, TOKEN) as client:
        assert "refused: " in "".join(client.log_stream(job, 1))
    names = [found.name for found in open_store(service.store_url).list("")]
    assert [name for name in names if "outside" in name or "other" in name] == []
    assert any(name.startswith(f"jobs/{job}/checkpoints/") and name.endswith("/files/state") for name in names)


def test_a_worker_without_the_option_gets_no_program(jobs: Jobs, service: ServiceProcess, tmp_path: Path) -> None:
    with make_workers(service, tmp_path, "tests.support.fake_worker") as made:
        made.start("--queue", "closed")
        job = jobs.submit({**program("chain.py"), "queue": "closed"})
        other = jobs.submit(fast(queue="closed"))
        assert jobs.await_end(other)["status"] == "succeeded"
        assert jobs.show(job)["status"] == "queued"
