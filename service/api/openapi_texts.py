"""The texts of the OpenAPI document and the names of its operations."""

from __future__ import annotations

from fastapi.routing import APIRoute

SUMMARY = "Resumable training on machines that may go away."
DESCRIPTION = """
Submit a training job, and Baton has it trained by workers on machines that may be taken away at any moment. Each job
goes on from its last checkpoint, at the exact step, until it has succeeded, failed with a reason, or was cancelled.

Send a token as `Authorization: Bearer TOKEN`; each operation says which scope it needs. Errors are
`application/problem+json` (RFC 9457): `code` never changes its meaning, and `errors` names the fields that cannot be
accepted. Times are ISO 8601 in UTC, durations seconds, sizes bytes. Answers may get further fields, and sets of names
such as `status` and `reason` further members: ignore the fields and show the names that you do not know.
""".strip()
TAGS = {
    "jobs": "Submit jobs, look at them, pause, resume and cancel them.",
    "events": "What happened to a job, as pages or as a stream of Server-Sent Events.",
    "logs": "What the training process of an attempt printed.",
    "artifacts": "Files of a job: models, history, evaluation, the report.",
    "attempts": "The protocol of workers: take an attempt, keep its lease, commit checkpoints, finish it.",
    "catalog": "Plans, networks and extensions that a spec may name; workers and queues.",
    "notifications": "Who is told of jobs, and a test of that.",
    "tokens": "Tokens with scopes.",
    "session": "Sessions of browsers.",
    "audit": "Who did what.",
    "health": "Whether the process lives and can work, and its metrics.",
}
NAMES = {
    "claim": "claimAttempt",
    "heartbeat": "sendHeartbeat",
    "quarantine": "quarantineCheckpoint",
    "finish": "finishAttempt",
    "healthz": "getHealth",
    "readyz": "getReadiness",
    "metrics": "getMetrics",
    "list_targets": "listNotificationTargets",
    "test_targets": "testNotificationTargets",
}
"""Names for endpoints whose function name is unclear without its module."""


def operation_id(route: APIRoute) -> str:
    """The name of an operation, in lowerCamelCase. It must not change, because generated clients use it."""
    first, *others = route.name.split("_")
    return NAMES.get(route.name) or first + "".join(word.capitalize() for word in others)


def tag_descriptions() -> list[dict[str, str]]:
    """The document's `tags`."""
    return [{"name": name, "description": text} for name, text in TAGS.items()]
