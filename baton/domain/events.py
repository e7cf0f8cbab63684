"""The events that the service itself writes into a job's log."""

from __future__ import annotations

from baton.domain.states import AttemptState

_OF_THE_JOB = (
    # the job and its owner
    "submitted",
    "queued",
    "dispatched",
    "claimed",
    "started",
    "stopping",
    "recovering",
    "restarted",
    "resumed",
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
    # what is in the store
    "checkpoint",
    "checkpoint_overdue",
    "checkpoint_resumed",
    "quarantined",
    "worker_silent",
    "worker_back",
    "artifact",
    "store_failing",
    "store_works_again",
    # failures of the reconciler
    "item_failed",
    # whom nobody could reach
    "notification_failed",
)
SERVICE_EVENTS = frozenset(_OF_THE_JOB) | {f"attempt_{state.value}" for state in AttemptState}
"""What no worker's note may be called."""
