"""The files for people, and the objects in the store that nothing names any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import UNPUBLISHED, Base, Id


class Artifact(Base):
    """A file for people: `object` is where it lies, `published` the object whose copy bears the plain name."""

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
    """An object that nothing names any more, to be deleted after `not_before`: somebody may still be reading it."""

    __tablename__ = "garbage"

    object: Mapped[str] = mapped_column(String(900), primary_key=True)
    not_before: Mapped[datetime] = mapped_column(index=True)
