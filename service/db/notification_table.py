"""The table of notifications: messages to send (transactional outbox)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Id, Number, one_of

WAITING = text("state = 'waiting'")
IS_WAITING = text("notifications.state = 'waiting'")


class NoticeState(StrEnum):
    """The delivery state of a notification."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class Notification(Base):
    """A message for one target. `tries`: number of started tries. The unique key excludes duplicates.

    `count`: for `recovering`, the number of the interruption; for events that several attempts can have (`overdue`,
    `silent`, a failure that pauses the job), the number of the attempt; otherwise 0.

    `next_at`: time of the next try. During a try: the end of the reservation, until which no other replica sends it.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        one_of("state", NoticeState),
        UniqueConstraint("job_id", "kind", "count", "target"),
        Index("ix_notifications_waiting", "target", "next_at", sqlite_where=WAITING, postgresql_where=WAITING),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"))
    kind: Mapped[str] = mapped_column(String(16))
    count: Mapped[int]
    target: Mapped[str] = mapped_column(String(63))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default=NoticeState.WAITING.value)
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    next_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
