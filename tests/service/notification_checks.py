"""Jobs that end, and the rows of their notifications."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from service.db.notification_table import Notification
from tests.service.helpers import Api


def rows(api: Api) -> list[tuple[str, int, str, str, int]]:
    with api.services.database.read() as session:
        query = select(Notification).order_by(Notification.number)
        return [(row.kind, row.count, row.target, row.state, row.tries) for row in session.scalars(query)]


def end(api: Api, outcome: str = "succeeded", **changes: Any) -> str:
    hand = api.claim(api.submit(**changes)["id"])
    hand.beat("training")
    assert hand.finish(outcome).status_code == 200
    return hand.job_id
