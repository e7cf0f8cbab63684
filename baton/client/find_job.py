"""Finds a job by its id, the start of its id, or its name."""

from __future__ import annotations

from itertools import islice

from baton.client.client import Client
from baton.client.errors import ApiError, ClientError
from baton.domain.views import JobView

LOOK_BACK = 1000


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
    jobs = list(islice(client.all_jobs(), LOOK_BACK))
    matching = [job for job in jobs if job.id.startswith(reference)]
    named = next((job for job in jobs if job.name == reference), None)
    if named is not None and (len(reference) < SURE or not matching or matching == [named]):
        return named
    if named is not None:
        raise AmbiguousJob(
            f"'{reference}' is the name of job {named.id} and the start of another id: give the whole id"
        )
    if len(matching) > 1:
        ids = ", ".join(job.id for job in matching[:4])
        raise AmbiguousJob(f"'{reference}' is the start of {len(matching)} job ids ({ids} ...): add more characters")
    for job in matching:
        return job
    detail = f"there is no job '{reference}': `baton list` shows ids and names"
    changes = {"status": 404, "detail": detail, "errors": [], "request_id": None}
    raise ApiError(not_found.problem.model_copy(update=changes))
