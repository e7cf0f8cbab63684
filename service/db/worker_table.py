"""The table of workers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base
from service.db.project_table import ProjectName

NO_ITEMS, ONE = text("'[]'"), text("1")


class Worker(Base):
    """The last reported state of a worker. `project`: the project that its token is bound to; None: it serves all."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[str] = mapped_column(String(50))
    device: Mapped[str] = mapped_column(String(200))
    queues: Mapped[list[str]]
    extensions: Mapped[list[str]] = mapped_column(default=list, server_default=NO_ITEMS)
    busy: Mapped[bool]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
    protocol: Mapped[int] = mapped_column(default=1, server_default=ONE)
    spec_version: Mapped[int] = mapped_column(default=1, server_default=ONE)
    store_id: Mapped[str | None] = mapped_column(String(32))
    refusal: Mapped[str | None] = mapped_column(Text)
    rests_until: Mapped[datetime | None]
    rests_why: Mapped[str | None] = mapped_column(Text)
    since: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    project: Mapped[str | None] = mapped_column(ProjectName)
