"""The tables for access control: API tokens, browser sessions, signing keys, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Number
from service.db.project_table import project_column

UNREVOKED = text("revoked_at IS NULL")
IS_UNREVOKED = text("tokens.revoked_at IS NULL")
TokenId = String(12)
Digest = String(64)


class ApiToken(Base):
    """An API token. `digest`: SHA-256 of its text, in hex. The text itself is not stored.

    `project`: the project that it belongs to; not used if it has the scope `admin`. `queues`: the queues that it is
    bound to; None: all.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        Index("uq_tokens_name_unrevoked", "name", unique=True, sqlite_where=UNREVOKED, postgresql_where=UNREVOKED),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(TokenId, unique=True)
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(Digest)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(63))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    project: Mapped[str] = project_column()
    queues: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))


class BrowserSession(Base):
    """A browser session or sign-in link. `id`: keyed digest of the cookie or code. `token_id`: None for BATON_TOKEN."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(Digest, primary_key=True)
    token_id: Mapped[str | None] = mapped_column(TokenId, ForeignKey("tokens.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(Base):
    """A signing key of all replicas, in hex. The first replica that needs it generates it."""

    __tablename__ = "signing_keys"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    secret: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class AuditEntry(Base):
    """An entry of the audit log. `subject`: id of the affected job or token."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(50))
    actor: Mapped[str] = mapped_column(String(63))
    token_id: Mapped[str | None] = mapped_column(TokenId)
    subject: Mapped[str | None] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
