"""Alive, and ready: the two questions of those who run the service."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from core.domain.errors import FieldError
from core.domain.wire import Message
from core.storage import StoreError
from service.api.depends import Ctx
from service.api.problems import problem, responses
from service.services import Services

router = APIRouter(tags=["health"])


class Health(Message):
    """How it stands; `checks` names each part, `conductor` who conducts."""

    status: str
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
    errors = [FieldError(name, what) for name, what in found.items() if what != "ok"]
    if errors:
        return problem(503, "not-ready", "; ".join(f"{e.field}: {e.message}" for e in errors), errors)
    return Health(status="ready", checks=found, conductor=ctx.conductor.leader())


def _database(ctx: Services) -> str:
    try:
        with ctx.database.read() as session:
            session.execute(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        return f"does not answer ({type(error).__name__}); look at BATON_DATABASE_URL and the server it names"
    return "ok"


def _redis(ctx: Services) -> str:
    try:
        ctx.redis.ping()
    except RedisError as error:
        return f"does not answer ({type(error).__name__}); look at BATON_REDIS_URL and the server it names"
    return "ok"


def _store(ctx: Services) -> str:
    try:
        ctx.store.check()
    except StoreError as error:
        return str(error)
    return "ok"


CHECKS: dict[str, Callable[[Services], str]] = {"database": _database, "redis": _redis, "store": _store}
