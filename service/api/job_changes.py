"""Changes of a job that exists."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Header, Response
from redis import RedisError

from baton.domain.job_changes import MAX_NOTES
from baton.domain.views import JobView
from service.api.auth import SUBMIT, Caller
from service.api.context import Services
from service.api.dependencies import Ctx, JobId, guarded_router
from service.api.jobs import HAS_ETAG, tagged
from service.api.problems import BODY, responses
from service.api.submission_body import Body
from service.db import audit
from service.db.unit_of_work import Unit
from service.reconciler.rq_dispatch import RqMessages
from service.usecases import views
from service.usecases.job_changes import Changed, change

router = guarded_router("jobs")
_SCHEMA = {"$ref": "#/components/schemas/JobChange"}
_EXAMPLE = {"priority": "high", "labels": {"team": "vision", "draft": None}, "notes": "the run of the paper"}
CHANGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"A JSON merge patch (RFC 7396). Notes have at most {MAX_NOTES} characters",
        "content": {
            "application/merge-patch+json": {"schema": _SCHEMA, "example": _EXAMPLE},
            "application/json": {"schema": _SCHEMA, "example": _EXAMPLE},
        },
    }
}
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=1000, description="ETags: the change is made only if the job has one of them"),
]


@router.patch(
    "/jobs/{job_id}",
    response_model=JobView,
    dependencies=[SUBMIT],
    openapi_extra=CHANGE_BODY,
    responses={200: {"headers": HAS_ETAG}, **responses(404, 412, *BODY)},
)
def change_job(ctx: Ctx, caller: Caller, job_id: JobId, body: Body, if_match: IfMatch = None) -> Response:
    """Change name, labels, notes, priority, protected, limits, notify, checkpoint or retry of the job. A worker reads
    checkpoint and limits with its next claim; everything else takes effect at once."""
    with ctx.database.write() as session:
        unit = Unit(session)
        made = change(unit, job_id, caller.name, body, versions=versions_in(if_match), targets=ctx.post.names)
        if made.fields:
            text, data = f"job {made.job.name} changed: {', '.join(made.fields)}", {"fields": list(made.fields)}
            audit.record(unit, "job_changed", caller, text, data, subject=made.job.id)
        answer = tagged(views.job_view(unit, made.job, ctx.settings.limits, ctx.settings.beats))
    _withdraw(ctx, made)
    return answer


def versions_in(if_match: str | None) -> frozenset[int] | None:
    """The versions that an If-Match header names. None: any version."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(int(number) for number in re.findall(r'(?:W/)?"(\d{1,18})[^"]*"', if_match))


def _withdraw(ctx: Services, made: Changed) -> None:
    """Remove the message with the old priority. If Redis is away, a worker may take the attempt a little early."""
    if made.outdated is not None:
        with suppress(RedisError):
            RqMessages(ctx.redis).withdraw(*made.outdated)
