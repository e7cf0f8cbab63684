"""FastAPI dependencies and parameter types that routes share."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from service.api.auth import GuardedRoute
from service.api.context import Services
from service.api.problems import ALWAYS, responses
from service.db.unit_of_work import Unit
from service.usecases import workers
from service.usecases.paging import LONGEST


async def _services(request: Request) -> Services:  # async, because a sync function needs a default pool thread
    services = cast(Services, request.app.state.services)
    caller = getattr(request.state, "principal", None)  # a public route has no caller
    return services if caller is None else services.seen_by(caller)


Ctx = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Path(max_length=64)]
AttemptId = Annotated[str, Path(max_length=64)]
PageSize = Annotated[int, Query(ge=1, le=200, description="Items per page")]
COMPLETE = 100_000
"""The most rows of a list of one job, which is complete unless the caller sets `limit`."""

Most = Annotated[int, Query(ge=1, le=COMPLETE, description="Items per page; without it, the list is complete")]


def shaped(pattern: str, message: str, **schema: Any) -> tuple[AfterValidator, WithJsonSchema]:
    """Validation by a pattern, with a clearer error than the pattern. `schema`: more keys of the JSON schema."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$", **schema})


def written(pattern: str, message: str) -> BeforeValidator:
    """Checks the text of a time or a day. Otherwise pydantic takes numbers for Unix times."""

    def check(text: object) -> object:
        if not re.match(pattern, str(text)):
            raise ValueError(message)
        return text

    return BeforeValidator(check)


Cursor = Annotated[
    str,
    *shaped(f"[A-Za-z0-9_-]{{1,{LONGEST}}}", "is not a cursor from a page; leave it out for the first page"),
    Query(description="`next_cursor` of the page before, with the same sort and filters"),
]


def sort_by(*keys: str, others: str = "") -> tuple[Any, ...]:
    """The parameter `sort` of a list with these keys. `others`: a pattern of further keys."""
    pattern = "|".join([*map(re.escape, keys), *([others] if others else [])])
    known = ", ".join([*keys, *(["metric:NAME"] if others else [])])
    how = "with - before it, the greatest come first"
    return *shaped(f"-?(?:{pattern})", f"must be one of {known}; {how}"), Query(description=f"{known}; {how}")


def installed(ctx: Services) -> Collection[str]:
    """Extensions that a spec may name: those installed on workers of the last day."""
    with ctx.database.read() as session:
        return workers.extensions(Unit(session))


def guarded_router(tag: str) -> APIRouter:
    """A router under /v1. Each of its routes must declare a scope."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=GuardedRoute, responses=responses(*ALWAYS))
