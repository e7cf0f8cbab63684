"""The messages in Redis, and the time at which each was dispatched."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from service.db.tables import Attempt
from service.db.unit_of_work import Unit
from tests.service.helpers import Api
from tests.support.redis import RedisServer


def listed(redis_server: RedisServer, name: str = "baton:default:normal") -> list[str]:
    with redis_server.client() as client:
        return [one.decode() for one in client.lrange(f"rq:queue:{name}", 0, -1)]  # type: ignore[union-attr]


def dispatched_long_ago(api: Api, attempt_id: str) -> None:
    with api.services.database.write() as session:
        now = Unit(session).now()
        session.execute(
            update(Attempt).where(Attempt.id == attempt_id).values(dispatched_at=now - timedelta(minutes=1))
        )
