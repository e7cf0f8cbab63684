"""Enumerations that may grow: readers get plain text, and the schema lists the known names.

A client of this version may read from a newer service. It shows an unknown status or reason as it is. Therefore the
models accept any text. The schema is `anyOf`: the known names, or other names of the same form. Client generators turn
it into an extensible enumeration or into text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import WithJsonSchema

from baton.domain.queues import PRIORITIES
from baton.domain.reasons import Reason
from baton.domain.scalars import NAME
from baton.domain.service_events import SERVICE_EVENTS
from baton.domain.states import (
    AttemptState,
    CheckpointState,
    DesiredState,
    JobState,
    StageState,
    WorkerState,
    shown_status,
)
from baton.domain.wire import CheckpointRole, Phase

CODE = r"^[a-z][a-z-]{0,49}$"


def open_set(names: Iterable[str], description: str, pattern: str = NAME) -> dict[str, Any]:
    """The schema of these names, which also allows future names."""
    known = sorted({str(name) for name in names})
    return {
        "type": "string",
        "description": f"{description} Values may be added: show an unknown value unchanged.",
        "anyOf": [{"type": "string", "enum": known}, {"type": "string", "pattern": pattern}],
    }


def named(names: Iterable[str], description: str) -> WithJsonSchema:
    """The same as the annotation of a field."""
    return WithJsonSchema(open_set(names, description))


STATUSES = tuple(dict.fromkeys(shown_status(state, wish) for state in JobState for wish in DesiredState))
WORKER_NOTES = (
    "evaluation_batch_halved",
    "exact_resume_not_promised",
    "file_failed",
    "file_unreadable",
    "files_left_out",
    "images_on_host",
    "metric_missing",
    "notice",
    "processes_killed",
    "program",
    "report_failed",
    "restored",
    "resumed_inexactly",
    "self_check_failed",
    "stalled",
    "started_from",
)
AUDITED = (
    "audit_pruned",
    "data_deleted",
    "data_pushed",
    "code_deleted",
    "code_pushed",
    "job_cancel_requested",
    "job_changed",
    "job_delete_requested",
    "job_deleted",
    "job_pause_requested",
    "job_resume_requested",
    "job_retry_requested",
    "job_submitted",
    "link_made",
    "logins_failed",
    "notifications_tested",
    "project_changed",
    "project_created",
    "project_deleted",
    "prune_requested",
    "session_closed",
    "session_opened",
    "token_created",
    "token_revoked",
)

ShownStatus = Annotated[str, named(STATUSES, "The job's state, for users.")]
ShownReason = Annotated[str, named(Reason, "Why it ended.")]
ShownPhase = Annotated[str, named(Phase, "The current activity of its worker.")]
ShownPriority = Annotated[str, named(PRIORITIES, "The order in the queue.")]
ShownAttemptState = Annotated[str, named(AttemptState, "The attempt's state.")]
ShownStageState = Annotated[str, named(StageState, "The stage's state.")]
ShownCheckpointState = Annotated[str, named(CheckpointState, "The state of the checkpoint after its commit.")]
ShownRole = Annotated[str, named(CheckpointRole, "A pointer that names the checkpoint.")]
ShownWorkerState = Annotated[str, named(WorkerState, "The state of the worker.")]
ShownEvent = Annotated[str, named({*SERVICE_EVENTS, *WORKER_NOTES}, "The kind of the event. Workers may add kinds.")]
ShownAudit = Annotated[str, named(AUDITED, "The kind of the entry.")]
ShownSourceKind = Annotated[str, named(("clone", "from"), "How a job was made from another job.")]
ShownDataKind = Annotated[str, named(("file", "folder"), "What was pushed: one file, such as a zip, or a folder.")]
