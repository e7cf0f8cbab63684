"""Runs attempts with a Runner in this process, against a real service and a real store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from baton.domain.wire import WorkerInfo
from baton.storage import BlobStore
from tests.support.gcs import until
from tests.support.jobs import Jobs
from tests.support.service import TOKEN, ServiceProcess
from worker.api_client.client import ServiceClient
from worker.attempt.protocols import Trainer, Workspace
from worker.attempt.runner import Runner
from worker.preemption.notice import Notice


def runner(service: ServiceProcess, store: BlobStore, trainer: Trainer, notice: Notice | None = None) -> Runner:
    """A Runner with the settings that a training process would use."""
    return Runner(
        client=ServiceClient(service.url, TOKEN),
        store=store,
        trainer=trainer,
        workspace=Workspace(Path(), threads=1, processes=0),
        worker=WorkerInfo(
            name="in-process",
            host="localhost",
            pid=os.getpid(),
            version="0",
            protocol=PROTOCOL,
            spec_version=SPEC_VERSION,
        ),
        notice=notice or Notice(),
        environment={},
        grace=30.0,
        claimed=lambda _grant: None,
    )


def queued_attempt(jobs: Jobs, job: str) -> str:
    """Wait for a queued attempt of the job, and return its id."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [a for a in jobs.items(job, "attempts") if a["state"] == "queued"]
        return bool(found)

    until(there, 60, "an attempt in the queue")
    return str(found[0]["id"])
