"""The final state of a job that runs tests/support/programs/chain.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from baton.domain.manifest import CURSOR, FILES
from baton.storage import BlobStore
from tests.resume.final_states import FinalState, timeless
from tests.support.fault_points import HALF_WRITTEN
from tests.support.jobs import Jobs


@dataclass(frozen=True)
class ProgramEnding(FinalState):
    """The final state of a program."""

    status: str
    step: int
    files: dict[str, bytes]
    """The files of the newest checkpoint."""
    cursor: dict[str, Any]
    history: list[dict[str, Any]]
    best: dict[str, Any] | None
    results: dict[str, float]
    series: dict[str, list[tuple[int, float]]]
    artifacts: dict[str, bytes]


def program_ending(jobs: Jobs, job: str, store: BlobStore) -> ProgramEnding:
    """The state that the service and the store hold of a job that has ended."""
    view = jobs.show(job)
    latest = next(c for c in jobs.items(job, "checkpoints") if "latest" in c["roles"] and c["state"] == "committed")
    names = [info.name for info in store.list(f"{latest['prefix']}/{FILES}/")]
    cursor = timeless(json.loads(store.get(f"{latest['prefix']}/{CURSOR}")))
    del cursor["best_saved"]  # after a SIGTERM the program saves at a step at which it does not save otherwise
    return ProgramEnding(
        status=f"{view['status']}: {view['reason']}",
        step=latest["global_step"],
        files={name.removeprefix(latest["prefix"]): store.get(name) for name in names},
        cursor=cursor,
        history=timeless(jobs.items(job, "history")),
        best=view["best"],
        results=view["results"],
        series=jobs.series(job, "loss", "train/first"),
        artifacts={name: jobs.download(job, name) for name in ("final.txt", HALF_WRITTEN)},
    )
