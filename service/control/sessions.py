"""Sessions of browsers: a row each, found by a digest of the cookie."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete

from service.access.principal import Principal
from service.control import audit
from service.db.access import BrowserSession
from service.db.unit import Unit


def open_session(unit: Unit, session_id: str, owner: Principal, seconds: float) -> datetime:
    """Remember the session; when it ends: in `seconds`, or with its token. Those that are over are forgotten."""
    now = unit.now()
    unit.session.execute(delete(BrowserSession).where(BrowserSession.expires_at <= now))
    expires = min(now + timedelta(seconds=seconds), owner.expires_at or datetime.max.replace(tzinfo=now.tzinfo))
    unit.session.add(BrowserSession(id=session_id, token_id=owner.token_id, created_at=now, expires_at=expires))
    audit.record(unit, "session_opened", owner, f"{owner.name} opened a session")
    return expires


def close_session(unit: Unit, session_id: str, owner: Principal) -> None:
    """Forget the session."""
    unit.session.execute(delete(BrowserSession).where(BrowserSession.id == session_id))
    audit.record(unit, "session_closed", owner, f"{owner.name} closed a session")
