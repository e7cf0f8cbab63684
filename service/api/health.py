"""The liveness and readiness endpoints. Both answer from memory."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, WithJsonSchema

from baton.domain.errors import FieldError
from baton.domain.open_enums import open_set
from baton.domain.wire import Message
from service.api.dependencies import Ctx
from service.api.problems import problem, responses

router = APIRouter(tags=["health"])


class Health(Message):
    """The service's health. `checks`: the result for each part. `conductor`: which replica leads.

    `ages`: seconds since each part last answered its check. `passes`: seconds since each reconciler thread ended its
    last pass.
    """

    status: Annotated[str, WithJsonSchema(open_set(("alive", "ready"), "The state of the service."))]
    checks: dict[str, str]
    ages: dict[str, float] = Field(default_factory=dict)
    passes: dict[str, float] = Field(default_factory=dict)
    conductor: str | None = None


@router.get("/healthz", responses=responses(500))
async def healthz() -> Health:
    """Check that the process answers."""
    return Health(status="alive", checks={})


@router.get("/readyz", response_model=Health, responses=responses(500, 503))
async def readyz(ctx: Ctx) -> Health | Response:
    """Get 200 if database, Redis and store are usable, else 503 with the others. Checked in the background."""
    states = ctx.readiness.states()
    errors = [FieldError(name, state.text) for name, state in states.items() if not state.ok]
    if errors:
        return problem(503, "not-ready", "; ".join(f"{e.field}: {e.message}" for e in errors), errors)
    return Health(
        status="ready",
        checks={name: state.text for name, state in states.items()},
        ages={name: round(state.age, 1) for name, state in states.items() if state.age is not None},
        passes={name: round(age, 1) for name, age in ctx.reconciler.pass_ages().items()},
        conductor=ctx.reconciler.leader(),
    )
