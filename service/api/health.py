"""Alive, and ready: the two questions of those who run the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import WithJsonSchema

from core.domain.errors import FieldError
from core.domain.shown import open_set
from core.domain.wire import Message
from service.api.depends import Ctx
from service.api.problems import problem, responses
from service.checks import CHECKS, OK

router = APIRouter(tags=["health"])


class Health(Message):
    """How it stands; `checks` names each part, `conductor` who conducts."""

    status: Annotated[str, WithJsonSchema(open_set(("alive", "ready"), "How it stands."))]
    checks: dict[str, str]
    conductor: str | None = None


@router.get("/healthz", responses=responses(500))
def healthz() -> Health:
    """The process answers."""
    return Health(status="alive", checks={})


@router.get("/readyz", response_model=Health, responses=responses(500, 503))
def readyz(ctx: Ctx) -> Health | Response:
    """Database, Redis and store answer; 503 names what does not."""
    found = {name: check(ctx) for name, check in CHECKS.items()}
    errors = [FieldError(name, what) for name, what in found.items() if what != OK]
    if errors:
        return problem(503, "not-ready", "; ".join(f"{e.field}: {e.message}" for e in errors), errors)
    return Health(status="ready", checks=found, conductor=ctx.conductor.leader())
