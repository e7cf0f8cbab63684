"""The tables of projects: their quotas, and the objects of pushed data that each of them has sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, text
from sqlalchemy.orm import Mapped, mapped_column

from baton.domain.projects import DEFAULT
from service.db.base import Base, Number

PROJECT = "project"
"""The key in a session's `info` of the only project whose things it may find. Without it, it finds those of all."""

ProjectName = String(63)
IN_DEFAULT = text(f"'{DEFAULT}'")


def project_column(**options: Any) -> Mapped[str]:
    """The column with the project of a row. The previous release writes its rows into the default project."""
    return mapped_column(ProjectName, default=DEFAULT, server_default=IN_DEFAULT, **options)


class Project(Base):
    """A project and its quotas, each None for no limit.

    `max_attempts`: attempts that workers hold at once. `max_queued`: jobs that wait for a worker. `max_data_bytes`,
    `max_code_bytes`: bytes of pushed data and of code bundles.
    """

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(ProjectName, primary_key=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(63))
    max_attempts: Mapped[int | None]
    max_queued: Mapped[int | None]
    max_data_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_code_bytes: Mapped[int | None] = mapped_column(BigInteger)


class ProjectObject(Base):
    """A project has sent this object of pushed data, so it may read the object and need not send it again.

    `used_at`: when the project last sent the object, or got the answer that the store has it, or a later time at which
    one of its versions needed the object.
    """

    __tablename__ = "project_objects"

    project: Mapped[str] = mapped_column(ProjectName, primary_key=True)
    object: Mapped[int] = mapped_column(
        Number, ForeignKey("data_objects.number", ondelete="CASCADE"), primary_key=True, index=True
    )
    used_at: Mapped[datetime] = mapped_column(index=True)
