"""Creates, lists and revokes API tokens."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from baton.domain.tokens import TokenCreated, TokenPage, TokenRequest, TokenView
from service.authn.secrets import digest, draw_token, prefix
from service.db import audit
from service.db.auth_tables import IS_UNREVOKED, ApiToken, BrowserSession
from service.db.unit_of_work import Unit
from service.errors import Conflict, NotFound
from service.principal import Principal
from service.usecases import projects

_ID = re.compile(r"[0-9a-f]{12}")


def create_token(unit: Unit, request: TokenRequest, actor: Principal) -> TokenCreated:
    """Create a token. Only the answer contains its text.

    Raises Conflict if an active token has the name, and NotFound if there is no such project.
    """
    drawn, now, project = draw_token(), unit.now(), request.project or actor.home
    projects.check(unit, project)
    seconds = request.expires_seconds
    row = ApiToken(
        id=drawn.id,
        name=request.name,
        digest=digest(drawn.text),
        scopes=[scope.value for scope in request.scopes],
        created_at=now,
        created_by=actor.name,
        expires_at=None if seconds is None else now + timedelta(seconds=seconds),
        project=project,
        queues=None if request.queues is None else list(request.queues),
    )
    _insert(unit, row)
    data: dict[str, Any] = {"name": row.name, "scopes": row.scopes}
    data |= {"expires_at": row.expires_at and row.expires_at.isoformat(), "project": row.project, "queues": row.queues}
    text = f"token {row.name} created: {', '.join(row.scopes)}"
    audit.record(unit, "token_created", actor, text, data, subject=row.id)
    return TokenCreated(**token_view(row, now).model_dump(), token=drawn.text)


def _insert(unit: Unit, row: ApiToken) -> None:
    taken = Conflict(f"there is a token {row.name!r} that is not revoked: revoke it first, or choose another name")
    if unit.session.scalar(select(ApiToken.id).where(ApiToken.name == row.name, IS_UNREVOKED)) is not None:
        raise taken
    unit.session.add(row)
    try:
        unit.session.flush()
    except IntegrityError:
        raise taken from None


def revoke_token(unit: Unit, token_id: str, actor: Principal) -> TokenView:
    """Revoke a token and delete its browser sessions. Idempotent. Raises NotFound."""
    query = select(ApiToken).where(ApiToken.id == token_id).with_for_update()
    row = unit.session.scalar(query) if _ID.fullmatch(token_id) else None
    if row is None or not unit.sees(row.project):
        raise NotFound(f"there is no token {token_id[:64]!r}; GET /v1/tokens lists them")
    if row.revoked_at is None:
        row.revoked_at = unit.now()
        unit.session.execute(delete(BrowserSession).where(BrowserSession.token_id == row.id))
        audit.record(unit, "token_revoked", actor, f"token {row.name} revoked", {"name": row.name}, subject=row.id)
    return token_view(row, unit.now())


def token_page(unit: Unit, before: int | None, limit: int) -> TokenPage:
    """Tokens with numbers below `before`, newest first."""
    query = select(ApiToken).where(*unit.own(ApiToken.project)).order_by(ApiToken.number.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(ApiToken.number < before)
    rows, now = list(unit.session.scalars(query)), unit.now()
    more = len(rows) > limit
    return TokenPage(
        items=[token_view(row, now) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].number) if more else None,
    )


def token_view(row: ApiToken, now: datetime) -> TokenView:
    """A token without its secret, as the API returns it."""
    over = row.expires_at is not None and row.expires_at <= now
    return TokenView(
        id=row.id,
        name=row.name,
        prefix=prefix(row.id),
        scopes=tuple(row.scopes),
        state="revoked" if row.revoked_at else "expired" if over else "active",
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        project=row.project,
        queues=None if row.queues is None else tuple(row.queues),
    )
