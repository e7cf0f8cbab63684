"""FastAPI dependencies and parameter types that routes share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Query, Request

from service.api.auth import GuardedRoute
from service.api.context import Services
from service.api.problems import ALWAYS, responses
from service.db.unit_of_work import Unit
from service.usecases import workers


async def _services(request: Request) -> Services:  # async, because a sync function needs a default pool thread
    services = cast(Services, request.app.state.services)
    caller = getattr(request.state, "principal", None)  # a public route has no caller
    return services if caller is None else services.seen_by(caller)


Ctx = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Path(max_length=64)]
AttemptId = Annotated[str, Path(max_length=64)]
PageSize = Annotated[int, Query(ge=1, le=200)]


def installed(ctx: Services) -> Collection[str]:
    """Extensions that a spec may name: those installed on workers of the last day."""
    with ctx.database.read() as session:
        return workers.extensions(Unit(session))


def guarded_router(tag: str) -> APIRouter:
    """A router under /v1. Each of its routes must declare a scope."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=GuardedRoute, responses=responses(*ALWAYS))
