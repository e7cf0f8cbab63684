"""Every error as application/problem+json (RFC 9457)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from baton.domain.errors import BatonError, FieldError, LeaseLost, SpecError
from baton.domain.http_problems import PROBLEM, TYPE
from baton.domain.validation import findings
from baton.domain.views import ProblemView
from baton.storage import AlreadyExists, InvalidName, StoreError, StoreFull
from baton.storage import NotFound as ObjectMissing
from baton.telemetry.log_context import request_id
from service.api.headers import ALL_ANSWERS, REQUEST_ID
from service.db.disk_space import failing_disk, full_disk
from service.db.outage import away
from service.errors import (
    BeingDeleted,
    BodyTooLarge,
    BodyTooSlow,
    Forbidden,
    TooManyAtOnce,
    TooManyFailures,
    TooManyWrites,
    Unauthorized,
)
from service.lanes import LaneFull

log = logging.getLogger(__name__)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MEDIA_TYPE = PROBLEM
STATUS = {
    "malformed-body": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "csrf": 403,
    "not-found": 404,
    "conflict": 409,
    "lease-lost": 409,
    "limit-reached": 409,
    "not-installed": 409,
    "wrong-store": 409,
    "store-unreachable": 409,
    "not-in-store": 409,
    "store-in-doubt": 409,
    "worker-too-old": 409,
    "passed-over": 409,
    "packs-missing": 409,
    "parts-missing": 409,
    "already-exists": 409,
    "data-in-use": 409,
    "project-quota": 409,
    "changed-meanwhile": 412,
    "body-too-large": 413,
    "body-too-slow": 408,
    "unsupported-media-type": 415,
    "range-not-satisfiable": 416,
    "invalid-spec": 422,
    "invalid-message": 422,
    "invalid-request": 422,
    "invalid-manifest": 422,
    "invalid-bundle": 422,
    "wrong-digest": 422,
    "idempotency-key-reused": 422,
    "too-many-failures": 429,
    "too-many-at-once": 429,
    "too-many-writes": 429,
    "busy": 503,
    "data-quota": 507,
    "code-quota": 507,
}
OTHERS = (
    "database-unavailable",
    "disk-full",
    "error",
    "internal-error",
    "method-not-allowed",
    "not-ready",
    "store-unavailable",
)
PROBLEMS = frozenset(STATUS) | frozenset(OTHERS)
"""All codes of problems."""

HTTP_CODES = {400: "malformed-body", 404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}
SAY_SECONDS = 10.0
_said_at = float("-inf")
TITLES = {
    "lease-lost": "The attempt is no longer held",
    "limit-reached": "A concurrency limit is reached",
    "not-installed": "The worker lacks what the job needs",
    "wrong-store": "The worker uses another store than the service",
    "store-unreachable": "The worker cannot use its store",
    "not-in-store": "The service does not find the object in its store",
    "store-in-doubt": "The service's store may not be the one that its jobs need",
    "worker-too-old": "The worker is too old for the job",
    "passed-over": "Other workers have priority for this attempt",
    "parts-missing": "Parts of the upload are missing",
    "already-exists": "The object exists already",
    "packs-missing": "The store lacks packs of the manifest",
    "changed-meanwhile": "The job was changed meanwhile",
    "data-in-use": "Unfinished jobs need the data",
    "project-quota": "A quota of the project is reached",
    "wrong-digest": "The body has another digest",
    "invalid-manifest": "The manifest is invalid",
    "data-quota": "The space for pushed data is used up",
    "code-quota": "The space for code bundles is used up",
    "invalid-bundle": "The archive is no valid code bundle",
    "invalid-spec": "The spec has invalid fields",
    "invalid-message": "The message has invalid fields",
    "invalid-request": "The request has invalid fields",
    "idempotency-key-reused": "The idempotency key belongs to another request",
    "disk-full": "A disk of the service is full",
    "busy": "Too many requests wait for the same resource",
}


def problem(
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as the answer to a request."""
    view = ProblemView(
        type=TYPE + code,
        title=TITLES.get(code, HTTPStatus(status).phrase),
        status=status,
        detail=detail,
        code=code,
        errors=list(errors),
        request_id=request_id(),
    )
    # Some problems are sent outside the middleware, so the headers of all answers are set here.
    named = {REQUEST_ID: view.request_id} if view.request_id else {}
    return Response(view.model_dump_json(), status, {**ALL_ANSWERS, **named, **(headers or {})}, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(BatonError, _baton_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(StoreError, _store_error)
    for kind in (OperationalError, InterfaceError, InternalError, PoolTimeout):
        app.add_exception_handler(kind, _database_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _bug)


def _baton_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BatonError)
    if error.code == LeaseLost.code:
        request.app.state.services.counters.fenced.inc()
    errors = error.errors if isinstance(error, SpecError) else ()
    return problem(STATUS.get(error.code, 400), error.code, str(error), errors, _advice(error))


def _disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # the client disconnected while it sent the body


def _advice(error: BatonError) -> dict[str, str]:
    """Headers that show what the client should do next (RFC 6750, RFC 9110)."""
    if isinstance(error, TooManyFailures | TooManyWrites | LaneFull | BeingDeleted):
        return {"Retry-After": str(error.seconds)}
    if isinstance(error, TooManyAtOnce):
        return {"Retry-After": "1"}
    if isinstance(error, BodyTooLarge | BodyTooSlow):
        return {"Connection": "close"}
    if isinstance(error, Unauthorized | Forbidden):
        scope = f', scope="{" ".join(error.scopes)}"' if error.scopes else ""
        kind = ', error="insufficient_scope"' if isinstance(error, Forbidden) else ""
        return {"WWW-Authenticate": f'Bearer realm="baton"{kind}{scope}'}
    return {}


def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    items: list[Any] = list(error.errors())
    if any(item["type"] == "json_invalid" for item in items):
        return problem(400, "malformed-body", f"the body is not JSON: {items[0].get('ctx', {}).get('error', '')}")
    found = findings({**item, "loc": item["loc"][1:]} for item in items)
    return problem(422, "invalid-request", "; ".join(f"{e.field}: {e.message}" for e in found), found)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "error")
    headers = {**(error.headers or {}), **_allowed(request)} if error.status_code == 405 else error.headers
    return problem(error.status_code, code, str(error.detail), headers=headers)


def _allowed(request: Request) -> dict[str, str]:
    """All methods of the path. Each method is a separate route; the router's answer names only the first route's."""

    def answers(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return {"Allow": ", ".join(filter(answers, METHODS))}


def _store_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, ObjectMissing):
        return problem(404, "not-found", "the file is no longer in the store; list the artifacts again")
    if isinstance(error, AlreadyExists):
        return problem(409, "already-exists", str(error))
    if isinstance(error, InvalidName):
        return problem(422, "invalid-request", str(error))
    if isinstance(error, StoreFull):
        return _disk_full(str(error))
    return problem(503, "store-unavailable", "the store does not answer now; try again", headers={"Retry-After": "5"})


def _database_error(request: Request, error: Exception) -> Response:
    if not away(error):
        log.error("a query to the database is wrong", exc_info=error)
        return _bug(request, error)
    services = request.app.state.services
    url = services.database.engine.url
    if full := full_disk(error, url):
        services.readiness.failed("database", full)
        return _disk_full(full)
    cause = " ".join(str(getattr(error, "orig", None) or error).split())
    _say(failing_disk(error, url) or f"the database does not answer: {type(error).__name__}: {cause[:300]}")
    return problem(
        503,
        "database-unavailable",
        "the database does not answer now, or not in time; repeat the request in a moment, a submission with the "
        "same Idempotency-Key; /readyz shows its state",
        headers={"Retry-After": "2"},
    )


def _disk_full(where: str) -> Response:
    _say(where)
    return problem(503, "disk-full", where, headers={"Retry-After": "5"})


def _say(text: str) -> None:
    global _said_at  # noqa: PLW0603 - at most one line in SAY_SECONDS, however many requests fail
    if time.monotonic() > _said_at + SAY_SECONDS:
        _said_at = time.monotonic()
        log.warning("%s", text)


def _bug(_request: Request, _error: Exception) -> Response:
    return problem(500, "internal-error", "an internal error of the service; its log has the details")


_DESCRIPTIONS = {
    400: "The body is malformed",
    401: "No token, or a wrong one",
    403: "The token does not allow this operation",
    404: "Not found",
    408: "The body did not arrive in time",
    409: "Conflict with the current state",
    412: "The job has another version than If-Match names",
    413: "The body is too large: 1 MiB is allowed, 16 MiB for a pack, 128 MiB for a manifest",
    415: "The media type of the body is not supported",
    416: "The range is beyond the end of the file",
    422: "Invalid fields; `errors` names them",
    429: "Too many wrong tokens from this address, concurrent requests of this caller, or writes of this attempt",
    500: "An internal error of the service",
    503: "A dependency of the service does not answer",
    507: "The space for pushed data is used up",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


ALWAYS = (401, 403, 422, 429, 500, 503)
BODY = (400, 408, 413, 415)
