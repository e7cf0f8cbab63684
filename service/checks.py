"""Whether what the service stands on answers: database, Redis, store."""

from __future__ import annotations

from collections.abc import Callable

from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from core.storage import StoreError
from service.services import Services

OK = "ok"


def _database(ctx: Services) -> str:
    try:
        with ctx.database.read() as session:
            session.execute(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        return f"does not answer ({type(error).__name__}); look at BATON_DATABASE_URL and the server it names"
    return OK


def _redis(ctx: Services) -> str:
    try:
        ctx.redis.ping()
    except RedisError as error:
        return f"does not answer ({type(error).__name__}); look at BATON_REDIS_URL and the server it names"
    return OK


def _store(ctx: Services) -> str:
    try:
        ctx.store.check()
    except StoreError as error:
        return str(error)
    return ctx.own_store.doubt or OK


CHECKS: dict[str, Callable[[Services], str]] = {"database": _database, "redis": _redis, "store": _store}
"""By name: OK, or what is wrong and what to do."""
