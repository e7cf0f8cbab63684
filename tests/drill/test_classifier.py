"""The drill of a classifier: a real service and a real worker that is killed. Its training takes milliseconds."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from baton.client.client import Client
from baton.domain.manifest import STATE
from baton.drill.classifier import Stand, compare_jobs
from baton.drill.options import Options
from baton.drill.process import Limits
from baton.program.drill.plan import KILL, PAUSE, TERM
from tests.support.fast_jobs import fast
from tests.support.redis import running_redis
from tests.support.service import TOKEN, running_service
from tests.support.worker import Workers
from tests.support.worker import workers as make_workers

pytestmark = pytest.mark.process

LEASE = {"BATON_LEASE_SECONDS": "5", "BATON_HEARTBEAT_SECONDS": "0.2", "BATON_CONDUCTOR_SECONDS": "0.4"}


@dataclass
class OneWorker:
    """Like the stack of the drill: a worker that is replaced when it ends."""

    data: Path
    workers: Workers

    def signal_worker(self, number: int, *, group: bool = True) -> int:
        worker = self.workers.all[-1]
        if number == signal.SIGKILL:
            worker.kill_group()
        elif group:
            os.killpg(worker.pid, number)
        else:
            worker.terminate()
            assert worker.process is not None
            worker.process.wait(60)
        if worker.process is not None and worker.process.poll() is not None:
            self.workers.start()
        return worker.pid


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with (
        running_redis() as redis,
        running_service(tmp_path, redis.url, **LEASE) as service,
        make_workers(service, tmp_path, "tests.support.fake_worker") as workers,
        Client(service.url, TOKEN) as client,
    ):
        workers.start()
        options = Options(limits=Limits(timeout=200, pause=0.2, began=time.monotonic()))
        (tmp_path / "runs").mkdir()
        yield Stand(client, OneWorker(tmp_path, workers), options, tmp_path / "runs")


def test_jobs_that_lose_their_worker_are_compared(stand: Stand, tmp_path: Path) -> None:
    spec = fast(epochs=3, steps=20, every=5, fake={"step-seconds": 0.05}, retry={"backoff": 0})
    spec["checkpoint"]["keep"] = 1000
    whole = stand.train(spec, "without interruptions", [])
    broken = stand.train(spec, "with interruptions", [(7, KILL), (22, PAUSE), (35, TERM)])
    assert [one.split()[0] for one in broken.interruptions] == ["SIGKILL", "SIGSTOP", "SIGTERM"]
    found = compare_jobs(whole, broken)
    assert found.differences == []
    assert (found.counted["rows"], whole.steps) == (3, 60)
    assert found.counted["checkpoints"] >= 6

    step = sorted(set(whole.checkpoints) & set(broken.checkpoints))[2]
    damaged = tmp_path / "damaged"
    shutil.copytree(broken.checkpoints[step], damaged)
    arrays = {name: np.array(one) for name, one in load_file(damaged / STATE).items()}
    arrays["state"][3] += 1
    save_file(arrays, damaged / STATE)
    broken.checkpoints[step] = damaged
    first = compare_jobs(whole, broken).first
    assert first is not None
    assert (first.step, first.name) == (step, f"{STATE}: state")
    assert "1 of 32 elements, largest difference 1" in first.text
