"""Recognizes HTTP errors of the service, and describes answers that come from something else.

Proxies, ingresses and sign-in pages also answer, with any status. Every error of the service is a problem document
(RFC 9457) with a type and a code of Baton. Any other error answer is not from the service, and no decision is based on
it.
"""

from __future__ import annotations

from pydantic import ValidationError

from baton.domain.text import safe
from baton.domain.views import ProblemView

PROBLEM = "application/problem+json"
JSON = "application/json"
TYPE = "urn:baton:problem:"
"""Prefix of the type of every problem document. The code follows."""

MAX_SHOWN = 200


def read_problem(content_type: str | None, body: bytes) -> ProblemView | None:
    """The service's problem document. None if the answer does not come from the service."""
    if media_type(content_type) != PROBLEM:
        return None
    try:
        found = ProblemView.model_validate_json(body)
    except ValidationError:
        return None
    return found if found.code and found.type == TYPE + found.code else None


def media_type(content_type: str | None) -> str:
    """The media type without its parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def foreign_text(status: int, content_type: str | None, body: bytes, location: str | None = None) -> str:
    """Describes an answer that does not come from the service. `location`: where it redirects to."""
    text = " ".join(safe(body.decode("utf-8", "replace")).split())[:MAX_SHOWN]
    shown = f": {text!r}" if text else ""
    to = f", a redirect to {safe(location)[:MAX_SHOWN]}" if location else ""
    return (
        f"HTTP {status}, {media_type(content_type) or 'no content type'}{to}{shown}; this answer does not come from a "
        "Baton service: check BATON_URL and the proxies in front of the service"
    )
