"""Finds a job by its id, the start of its id, or its name."""

from __future__ import annotations

from itertools import islice

from baton.client.client import Client
from baton.client.errors import ApiError, ClientError
from baton.domain.views import JobView

LOOK_BACK = 1000


class AmbiguousJob(ClientError):
    """The start of an id matches several jobs."""

    code = "ambiguous"


def find_job(client: Client, reference: str) -> JobView:
    """The job with this id, otherwise the only one whose id starts with it, otherwise the newest with this name.

    Raises:
        AmbiguousJob: several ids start with `reference`.
        ApiError: there is no such job.
    """
    try:
        return client.job(reference)
    except ApiError as error:
        if error.status not in {404, 422}:
            raise
        return _search(client, reference, error)


def _search(client: Client, reference: str, not_found: ApiError) -> JobView:
    jobs = list(islice(client.all_jobs(), LOOK_BACK))
    matching = [job for job in jobs if job.id.startswith(reference)]
    if len(matching) > 1:
        ids = ", ".join(job.id for job in matching[:4])
        raise AmbiguousJob(f"'{reference}' is the start of {len(matching)} job ids ({ids} ...): add more characters")
    named = [job for job in jobs if job.name == reference]
    for job in (*matching, *named):
        return job
    detail = f"there is no job '{reference}': `baton list` shows ids and names"
    changes = {"status": 404, "detail": detail, "errors": [], "request_id": None}
    raise ApiError(not_found.problem.model_copy(update=changes))
