"""The texts of the OpenAPI document and the names of its operations."""

from __future__ import annotations

from fastapi.routing import APIRoute

TITLE = "Baton"
SUMMARY = "Resumable training on machines that may be preempted."
DESCRIPTION = """
Submit a training job. Workers train it on machines that may be preempted at any moment. After an interruption another
worker continues from the last checkpoint, at the exact step, until the job has succeeded, failed or was cancelled.

Send a token as `Authorization: Bearer TOKEN`. Each operation names the scope it needs. Errors are
`application/problem+json` (RFC 9457): `code` never changes its meaning, and `errors` names the invalid fields. Times
are ISO 8601 in UTC, durations are in seconds, sizes in bytes. Later versions may add fields to answers, and values to
sets such as `status` and `reason`. Clients should ignore unknown fields and show unknown values.

A token belongs to a project, and sees only its jobs, data and code: what belongs to another project is 404. A token
with the scope `admin` sees all. With the header `Baton-Project: NAME` on any call, it sees only this project, and
what it makes belongs to it.
""".strip()
TAGS = {
    "jobs": "Submit, list, change, pause, resume, cancel, retry and delete jobs.",
    "events": "The events of a job, as pages or as a stream of Server-Sent Events.",
    "logs": "The output of the training process of an attempt.",
    "artifacts": "Files of a job: models, history, evaluation, the report.",
    "data": "Pushed data: versions by name. Its bytes are packs, which are stored once.",
    "code": "The code of programs: archives by their SHA-256.",
    "attempts": "The protocol of workers: claim an attempt, renew its lease, commit checkpoints, finish it.",
    "catalog": "Plans, networks and extensions that a spec may name; workers and queues.",
    "usage": "What was used and what it cost; the order of the queue.",
    "notifications": "Targets of notifications, and a test of them.",
    "tokens": "Tokens with scopes.",
    "projects": "Projects, their quotas, and what they use.",
    "session": "Browser sessions.",
    "install": "Files with which a machine installs this release as a worker.",
    "audit": "The audit log: changes by callers, and wrong tokens.",
    "health": "Liveness, readiness and metrics of the service.",
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
