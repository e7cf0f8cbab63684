"""Checkpoints with real manifests, from which other jobs start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from baton.domain.manifest import FileEntry, Manifest, ProgramFile, ProgramSet, program_object
from baton.domain.wire import Position
from baton.storage.checksum import crc32c_of
from tests.service.helpers import Api, WorkerHand

FILES = {"state.safetensors": b"weights" * 1000, "cursor.json": b"{}"}
PROGRAM = b"kernels"


def saved(hand: WorkerHand, at: tuple[int, int, int, int], *roles: str, needs: tuple[str, ...] = ()) -> str:
    """Commit a checkpoint at (stage, epoch, step, global step), and return its prefix."""
    stage, epoch, step, global_step = at
    position = Position(stage=stage, epoch=epoch, step=step, global_step=global_step)
    prefix = hand.prefix(global_step)
    entries = [
        FileEntry(name=name, size=len(data), crc32c=hand.api.put(f"{prefix}/{name}", data))
        for name, data in FILES.items()
    ]
    program = program_object(hand.job_id, "k", "d", "results")
    found = ProgramFile(name="results", size=len(PROGRAM), crc32c=hand.api.put(program, PROGRAM), object=program)
    data = _manifest(hand, position, entries, found)
    body: dict[str, Any] = {"position": position.model_dump(), "needs": list(needs), "manifest_crc32c": crc32c_of(data)}
    hand.api.put(f"{prefix}/manifest.json", data)
    answer = hand.checkpoint(global_step, *roles, prefix=prefix, written=False, **body)
    assert answer.status_code == 201, answer.text
    return prefix


def _manifest(hand: WorkerHand, position: Position, entries: list[FileEntry], program: ProgramFile) -> bytes:
    manifest = Manifest(
        job_id=hand.job_id,
        attempt_id=hand.attempt_id,
        fence=hand.fence,
        position=position,
        files=tuple(entries),
        environment={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        programs=ProgramSet(key="k", made_for={}, files=(program,)),
    )
    return manifest.model_dump_json().encode()


def trained(api: Api, **changes: Any) -> tuple[WorkerHand, str, str]:
    """A running job with its best checkpoint at step 10 and its latest at step 20, which needs the best."""
    hand = api.running(**changes)
    best = saved(hand, (0, 1, 0, 10), "latest", "best")
    return hand, best, saved(hand, (1, 0, 10, 20), "latest", needs=(best,))


def start_from(api: Api, job_id: str, checkpoint: str | int = "latest", **more: Any) -> dict[str, Any]:
    return api.submit({"from": {"job": job_id, "checkpoint": checkpoint}, **more})


def objects(api: Api, job_id: str) -> dict[str, bytes]:
    """The objects of a job's checkpoints and programs by name, without the folder of the job."""
    folder = f"jobs/{job_id}/"
    store = api.services.store
    return {blob.name.removeprefix(folder): store.get(blob.name) for blob in store.list(folder)}


def longer(epochs: int = 9) -> dict[str, int]:
    return {"stages.1.epochs": epochs}
