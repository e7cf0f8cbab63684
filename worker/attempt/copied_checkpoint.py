"""Reads a checkpoint that was copied from another job.

A copy has the bytes of its source: the names in it are those of the source's objects. The copies of these objects have
the same names below the folder of this job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from baton.domain.errors import JobFailure
from baton.domain.manifest import Manifest, ProgramSet, own_name
from baton.domain.reasons import Reason
from baton.domain.wire import CheckpointRef, Grant
from worker.checkpointing.snapshot import Snapshot

_BESTS = ("best", "stage_best")


def as_own(snapshot: Snapshot, manifest: Manifest, grant: Grant, found: CheckpointRef) -> Snapshot:
    """The snapshot with this job's names and, if it is a copy, with what the job takes from it.

    Raises:
        JobFailure: restore_failed, it is a copy, and the service is too old to say what the job takes from it.
    """
    start = grant.start if grant.start is not None and found.fence <= grant.start.fence else None
    if start is None:
        if manifest.job_id != grant.job_id:
            text = (
                f"{found.prefix} is a checkpoint of job {manifest.job_id}, and the service does not say how to use it"
            )
            raise JobFailure(Reason.RESTORE_FAILED, f"{text}: update all replicas of the service")
        return snapshot
    # The service has no row of the history yet.
    return replace(snapshot, start=start, cursor=_own(snapshot.cursor, grant.job_id), rows_from=1)


def _own(cursor: dict[str, Any], job_id: str) -> dict[str, Any]:
    bests = {name: cursor[name] for name in _BESTS if cursor.get(name)}
    return {**cursor, **{name: {**best, "prefix": own_name(job_id, best["prefix"])} for name, best in bests.items()}}


def own_programs(programs: ProgramSet | None, job_id: str) -> ProgramSet | None:
    """The autotuning results, with the names of this job's objects."""
    if programs is None:
        return None
    files = tuple(one.model_copy(update={"object": own_name(job_id, one.object)}) for one in programs.files)
    return programs.model_copy(update={"files": files})
