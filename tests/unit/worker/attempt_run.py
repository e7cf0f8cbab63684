"""Runs one attempt on a fake service with a trainer that trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from baton.domain.spec import JobSpec
from baton.domain.wire import CheckpointRef, Finish, Position, WorkerInfo
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreUnavailable
from tests.unit.worker.fake_service import Service
from worker.attempt.protocols import Control, Workspace
from worker.attempt.runner import Runner
from worker.autotuning.transfer import Compiler
from worker.checkpointing.checkpoint_files import Writer, write_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.preemption.notice import Notice

OWNER = Writer("j", "a", 1, {})
ARRAYS = {"x": np.arange(3)}


class Trainer:
    """A trainer that trains nothing and keeps its arguments."""

    def __init__(self, act: Callable[[Control], None] = lambda _control: None) -> None:
        self.act = act
        self.snapshots: list[Snapshot | None] = []

    def __call__(self, _spec: JobSpec, control: Control, _at: Workspace, snapshot: Snapshot | None) -> dict[str, float]:
        self.snapshots.append(snapshot)
        self.act(control)
        return {"done": 1.0}


class Away(DirectoryStore):
    """A store whose first reads fail."""

    failures = 0

    def get(self, name: str) -> bytes:
        if self.failures > 0:
            self.failures -= 1
            raise StoreUnavailable("the bucket is away")
        return super().get(name)


def snapshot(step: int) -> Snapshot:
    return Snapshot(Position(stage=0, epoch=0, step=step, global_step=step), ARRAYS, {})


def written(store: DirectoryStore, step: int) -> CheckpointRef:
    prefix = f"jobs/j/checkpoints/{step:010d}-1-0"
    done = write_checkpoint(store, prefix, snapshot(step), OWNER)
    position = snapshot(step).position
    return CheckpointRef(id=str(step), prefix=prefix, manifest_crc32c=done.manifest_crc32c, position=position, fence=1)


def damage(store: DirectoryStore, ref: CheckpointRef) -> None:
    store.put(f"{ref.prefix}/state.safetensors", b"nothing of the kind")


def run(
    service: Service,
    store: DirectoryStore,
    trainer: Trainer,
    tmp_path: Path,
    notice: Notice | None = None,
    compiler: Compiler | None = None,
) -> Finish:
    environment: Mapping[str, str] = {}
    attempt = Runner(
        client=service,  # type: ignore[arg-type]  # the calls that an attempt makes
        store=store,
        trainer=trainer,
        workspace=Workspace(tmp_path, 1, 0),
        worker=WorkerInfo(name="w", host="h", pid=1, version="0"),
        notice=notice or Notice(),
        environment=environment,
        grace=5.0,
        claimed=lambda _grant: None,
        compiler=compiler,
    )
    assert attempt.run("a")
    (finish,) = service.finished
    return finish
