"""Tables for the operation of the service: failures of single items, replicas, stores, probes."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Id


class PassFailure(Base):
    """An item that a step of the reconciler could not handle. It is tried again after `retry_at`.

    `step`: the name of the step. `item`: the id of the row or the name of the object. `job_id`: its job, if known.
    """

    __tablename__ = "pass_failures"

    step: Mapped[str] = mapped_column(String(32), primary_key=True)
    item: Mapped[str] = mapped_column(String(900), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(Id)
    tries: Mapped[int]
    error: Mapped[str] = mapped_column(Text)
    first_at: Mapped[datetime]
    retry_at: Mapped[datetime] = mapped_column(index=True)


class Replica(Base):
    """A time span in which one process of the service wrote without a gap. After a gap the process begins another row.

    `name`: the name of the process, with the number of the row. `last_write_at`: the last committed write of the
    process. Both times are from the database's clock.
    """

    __tablename__ = "replicas"

    name: Mapped[str] = mapped_column(String(300), primary_key=True)
    started_at: Mapped[datetime]
    last_write_at: Mapped[datetime]


class Compatibility(Base):
    """One row. `oldest_revision`: the oldest revision of the schema whose code can run on the current schema."""

    __tablename__ = "schema_compatibility"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    oldest_revision: Mapped[str] = mapped_column(String(32))


class KnownStore(Base):
    """A store that this service has used. `id`: the identity that is stored in the store itself."""

    __tablename__ = "stores"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    url: Mapped[str] = mapped_column(String(1000))
    first_used_at: Mapped[datetime]
    last_used_at: Mapped[datetime]


class Probe(Base):
    """One row. The readiness checks of all replicas write it, to test whether a small write can be committed."""

    __tablename__ = "probes"
    ONLY: ClassVar[int] = 1

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
