"""Sessions of browsers: a row each, found by a digest of the cookie."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete

from service.db import audit
from service.db.auth_tables import BrowserSession
from service.db.unit_of_work import Unit
from service.errors import Unauthorized
from service.principal import Principal


def open_session(unit: Unit, session_id: str, owner: Principal, seconds: float) -> datetime:
    """Remember the session; when it ends: in `seconds`, or with its token."""
    expires = _remember(unit, session_id, owner, owner.expires_at, seconds)
    audit.record(unit, "session_opened", owner, f"{owner.name} opened a session")
    return expires


def make_link(unit: Unit, link_id: str, owner: Principal, seconds: float) -> datetime:
    """Remember a link that opens one session of this owner's; when it ends."""
    expires = _remember(unit, link_id, owner, owner.expires_at, seconds)
    audit.record(unit, "link_made", owner, f"{owner.name} made a link that signs in")
    return expires


def _remember(unit: Unit, name: str, owner: Principal, ends: datetime | None, seconds: float) -> datetime:
    """A row, and when it expires. Those that are over are forgotten."""
    now = unit.now()
    unit.session.execute(delete(BrowserSession).where(BrowserSession.expires_at <= now))
    expires = min(now + timedelta(seconds=seconds), ends or datetime.max.replace(tzinfo=now.tzinfo))
    unit.session.add(BrowserSession(id=name, token_id=owner.token_id, created_at=now, expires_at=expires))
    return expires


def use_link(unit: Unit, link_id: str) -> None:
    """Nobody can use it again: of two who come with it one deletes the row. Raises Unauthorized for the other."""
    if unit.session.execute(delete(BrowserSession).where(BrowserSession.id == link_id)).rowcount != 1:  # type: ignore[attr-defined]  # of a DELETE it has one
        raise Unauthorized("this link was used a moment ago: make another with `baton dashboard`")


def close_session(unit: Unit, session_id: str, owner: Principal) -> None:
    """Forget the session."""
    unit.session.execute(delete(BrowserSession).where(BrowserSession.id == session_id))
    audit.record(unit, "session_closed", owner, f"{owner.name} closed a session")
