"""The tables of artifacts and of unreferenced objects in the store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import UNPUBLISHED, Base, Id


class Artifact(Base):
    """An output file of a job. `object`: its current object. `published`: the object whose copy has the plain name."""

    __tablename__ = "artifacts"
    __table_args__ = (
        Index("ix_artifacts_unpublished", "committed_at", sqlite_where=UNPUBLISHED, postgresql_where=UNPUBLISHED),
    )

    job_id: Mapped[str] = mapped_column(Id, ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    object: Mapped[str] = mapped_column(String(900))
    size: Mapped[int] = mapped_column(BigInteger)
    crc32c: Mapped[str] = mapped_column(String(8))
    content_type: Mapped[str] = mapped_column(String(100))
    fence: Mapped[int] = mapped_column(BigInteger)
    committed_at: Mapped[datetime]
    published: Mapped[str | None] = mapped_column(String(900))


class Garbage(Base):
    """An unreferenced object. It is deleted after `not_before`, because a client may still be reading it."""

    __tablename__ = "garbage"

    object: Mapped[str] = mapped_column(String(900), primary_key=True)
    not_before: Mapped[datetime] = mapped_column(index=True)
