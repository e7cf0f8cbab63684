"""The tables of access: tokens, sessions of browsers, the key that signs, and who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base, Number

UNREVOKED = text("revoked_at IS NULL")
IS_UNREVOKED = text("tokens.revoked_at IS NULL")
TokenId = String(12)
Digest = String(64)


class ApiToken(Base):
    """A token. `digest`: SHA-256 of the whole of it, in hex; what it is nobody can read here."""

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


class BrowserSession(Base):
    """A browser that showed a token once. `id`: a digest of its cookie; `token_id`: empty for BATON_TOKEN."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(Digest, primary_key=True)
    token_id: Mapped[str | None] = mapped_column(TokenId, ForeignKey("tokens.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(Base):
    """A key that all replicas sign with, in hex. The first that needs it draws it."""

    __tablename__ = "signing_keys"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    secret: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class AuditEntry(Base):
    """Who did what, when. `subject`: id of the job or token that it was done to."""

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
