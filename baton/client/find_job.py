"""Finds a job by its id, the start of its id, or its name."""

from __future__ import annotations

import re
from itertools import islice

from baton.client.client import Client
from baton.client.errors import ApiError, ClientError
from baton.domain.views import JobSummary, JobView

SHOWN = 4
NAME, PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"), re.compile(r"[0-9a-f]{1,32}")
SURE = 8
"""This many characters of an id are no accident. A shorter start of an id may also be the name of another job."""


class AmbiguousJob(ClientError):
    """The text names no single job: it is the start of several ids, or it is empty."""

    code = "ambiguous"


def find_job(client: Client, reference: str) -> JobView:
    """The job with this id, otherwise the newest with this name, otherwise the only one whose id starts with it.

    Raises:
        AmbiguousJob: several ids start with `reference`, or it is empty, or at least SURE characters of it are both a
            name and the start of another job's id.
        ApiError: there is no such job.
    """
    if not reference:
        raise AmbiguousJob("an empty text names no job: give an id, the start of an id, or a name")
    try:
        return client.job(reference)
    except ApiError as error:
        if error.status not in {404, 422}:
            raise
        return _search(client, reference, error)


def _search(client: Client, reference: str, not_found: ApiError) -> JobView:
    named = _first(client, 1, name=reference) if NAME.fullmatch(reference) else []
    matching = _first(client, SHOWN, id=reference) if PART.fullmatch(reference) else []
    if named and (len(reference) < SURE or not matching or matching == named):
        return client.job(named[0].id)
    if named:
        raise AmbiguousJob(
            f"'{reference}' is the name of job {named[0].id} and the start of another id: give the whole id"
        )
    if len(matching) > 1:
        ids = ", ".join(job.id for job in matching)
        raise AmbiguousJob(f"'{reference}' is the start of several job ids ({ids} ...): add more characters")
    if matching:
        return client.job(matching[0].id)
    detail = f"there is no job '{reference}': `baton list` shows ids and names"
    changes = {"status": 404, "detail": detail, "errors": [], "request_id": None}
    raise ApiError(not_found.problem.model_copy(update=changes))


def _first(client: Client, most: int, **wanted: str) -> list[JobSummary]:
    """The newest jobs with this name, or this start of the id. An older service ignores these filters: check them."""
    found = islice(client.summaries(**wanted), most)
    name, start = wanted.get("name"), wanted.get("id", "")
    return [one for one in found if name in {None, one.name} and one.id.startswith(start)]
