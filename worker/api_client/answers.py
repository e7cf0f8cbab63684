"""The meaning of HTTP answers. Only answers of the service itself count; other answers are transient errors."""

from __future__ import annotations

import httpx

from baton.domain.errors import BatonError, LeaseLost
from baton.domain.http_problems import JSON, foreign_text, media_type, read_problem

LATER = (408, 425, 429)


class ServiceUnavailable(BatonError):
    """The service did not answer, or another server answered. The call may be retried."""

    code = "service-unavailable"


class Refused(BatonError):
    """The service refused the call. The same call gets the same answer again."""

    code = "refused"

    def __init__(self, status: int, problem: str, detail: str) -> None:
        self.status, self.problem = status, problem
        super().__init__(f"the service answered {status}: {detail}")


def check(response: httpx.Response, expected: str = JSON) -> None:
    """Returns if the service accepted the call. Raises LeaseLost, Refused, or ServiceUnavailable.

    `expected`: the media type of the answer. An answer of another server is ServiceUnavailable, with any status: a 404
    may come from an ingress while the service is unavailable, and a 200 from a sign-in page.
    """
    content_type, status = response.headers.get("Content-Type"), response.status_code
    if response.is_success and (media_type(content_type) == expected or not response.content):
        return
    found = read_problem(content_type, response.content)
    if found is None or response.is_success:
        location = response.headers.get("Location")
        raise ServiceUnavailable(
            f"no answer of the service: {foreign_text(status, content_type, response.content, location)}"
        )
    request = f" (request {found.request_id})" if found.request_id else ""
    detail = f"{found.detail}{request}"
    if found.code == "too-many-writes":
        raise Refused(status, found.code, detail)
    if status >= 500 or status in LATER:
        raise ServiceUnavailable(f"the service answered {status}: {detail}")
    if found.code == LeaseLost.code:
        raise LeaseLost(detail)
    raise Refused(status, found.code, detail)
