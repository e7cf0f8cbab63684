"""What routes ask FastAPI for."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request

from service.api.problems import ALWAYS, responses
from service.auth import GUARD, GuardedRoute
from service.services import Services


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


Ctx = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Path(max_length=64)]
AttemptId = Annotated[str, Path(max_length=64)]


def guarded_router(tag: str) -> APIRouter:
    """A router under /v1 that nobody enters without a token."""
    return APIRouter(
        prefix="/v1", tags=[tag], dependencies=GUARD, route_class=GuardedRoute, responses=responses(*ALWAYS)
    )
