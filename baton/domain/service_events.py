"""The kinds of events that the service writes into a job's log."""

from __future__ import annotations

from baton.domain.states import AttemptState

_OF_THE_JOB = (
    # the job and its owner
    "submitted",
    "changed",
    "queued",
    "dispatched",
    "claimed",
    "started",
    "stopping",
    "recovering",
    "restarted",
    "resumed",
    "retried",
    "pause_requested",
    "paused",
    "cancel_requested",
    "cancelled",
    "failed",
    "succeeded",
    # its stages and epochs
    "stage_started",
    "stage_finished",
    "epoch",
    "rows_deleted",
    # checkpoints and files in the store
    "checkpoint",
    "checkpoint_overdue",
    "checkpoint_resumed",
    "quarantined",
    "checkpoint_copied",
    "worker_silent",
    "worker_back",
    "artifact",
    "store_failing",
    "store_works_again",
    # what retention deleted
    "pruned",
    # failures in the reconciler
    "item_failed",
    # notifications that could not be sent
    "notification_failed",
)
SERVICE_EVENTS = frozenset(_OF_THE_JOB) | {f"attempt_{state.value}" for state in AttemptState}
"""Reserved kinds: an event of a worker cannot have one of these."""
