"""The tables of what clients push: versions of data by name, code bundles, and their objects in the store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from baton.domain.projects import DEFAULT
from service.db.base import UNHELD, Base, Number, one_of
from service.db.project_table import IN_DEFAULT, ProjectName, project_column

KINDS = ("file", "folder")
NOT_HELD = text("0")


class DataObject(Base):
    """A manifest, a pack or a code bundle in the store. The row is written before the object and deleted after it.

    `name`: the object's name, which contains a digest. `size` in bytes. `used_at`: when a client last sent the object,
    or got the answer that the store has it; the object is kept for a day after this time. `seen_at`: when the service
    last found the object in the store. `holders`: the number of manifests (for a pack), versions (for a manifest) or
    bundles (at most one of each project) that need it. `doomed_at`: when its deletion began; after this time no push
    may use it.
    """

    __tablename__ = "data_objects"
    __table_args__ = (
        Index("ix_data_objects_unheld", "used_at", sqlite_where=UNHELD, postgresql_where=UNHELD),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    size: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[datetime]
    seen_at: Mapped[datetime | None]
    holders: Mapped[int] = mapped_column(default=0, server_default=NOT_HELD)
    doomed_at: Mapped[datetime | None]


class DataPart(Base):
    """A manifest (`whole`) needs a pack (`part`)."""

    __tablename__ = "data_parts"

    whole: Mapped[int] = mapped_column(Number, ForeignKey("data_objects.number"), primary_key=True)
    part: Mapped[int] = mapped_column(Number, ForeignKey("data_objects.number"), primary_key=True, index=True)


class DataVersion(Base):
    """Pushed data of a project. `number` grows with each push, so the newest version of a name has the highest.

    `digest`: the digest of the manifest. `manifest`: the manifest's object. `last_used_at`: the time of the last push
    or submission of a job, or a later time at which an unfinished job needed the version.
    """

    __tablename__ = "data_versions"
    __table_args__ = (
        one_of("kind", KINDS),
        UniqueConstraint("project", "name", "digest"),
        Index("ix_data_versions_name_number", "name", "number"),
        Index("ix_data_versions_project_number", "project", "number"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    manifest: Mapped[int] = mapped_column(Number, ForeignKey("data_objects.number"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(63))
    last_used_at: Mapped[datetime] = mapped_column(index=True)
    project: Mapped[str] = project_column()


class CodeBundle(Base):
    """The code of users' programs, once for each project that has it.

    `digest`: SHA-256 of the archive. `bytes`: its size. `object`: the archive's object.
    `last_used_at`: the time of the last push or submission of a job, or a later time at which a job named it.
    """

    __tablename__ = "code_bundles"

    project: Mapped[str] = mapped_column(ProjectName, primary_key=True, default=DEFAULT, server_default=IN_DEFAULT)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    object: Mapped[int] = mapped_column(Number, ForeignKey("data_objects.number"), index=True)
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(63))
    last_used_at: Mapped[datetime] = mapped_column(index=True)
