"""Browser sessions and sign-in links: one row each, found by a keyed digest of the cookie or code."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete

from service.db import audit
from service.db.auth_tables import BrowserSession
from service.db.unit_of_work import Unit
from service.errors import Unauthorized
from service.principal import Principal


def open_session(unit: Unit, session_id: str, owner: Principal, seconds: float) -> datetime:
    """Store a session. Returns when it expires: after `seconds`, or with its token."""
    expires = _store(unit, session_id, owner, seconds)
    audit.record(unit, "session_opened", owner, f"{owner.name} opened a session")
    return expires


def make_link(unit: Unit, link_id: str, owner: Principal, seconds: float) -> datetime:
    """Store a link that opens one session of this owner. Returns when it expires."""
    expires = _store(unit, link_id, owner, seconds)
    audit.record(unit, "link_made", owner, f"{owner.name} made a link that signs in")
    return expires


def _store(unit: Unit, row_id: str, owner: Principal, seconds: float) -> datetime:
    """Insert a row and delete the expired ones. Returns when the row expires."""
    now = unit.now()
    unit.session.execute(delete(BrowserSession).where(BrowserSession.expires_at <= now))
    expires = min(now + timedelta(seconds=seconds), owner.expires_at or datetime.max.replace(tzinfo=now.tzinfo))
    unit.session.add(BrowserSession(id=row_id, token_id=owner.token_id, created_at=now, expires_at=expires))
    return expires


def use_link(unit: Unit, link_id: str) -> None:
    """Delete a link, so that it works once. Of two concurrent calls, the second one raises Unauthorized."""
    if unit.session.execute(delete(BrowserSession).where(BrowserSession.id == link_id)).rowcount != 1:  # type: ignore[attr-defined]  # a DELETE has a rowcount
        raise Unauthorized("this link was used a moment ago: make another with `baton dashboard`")


def close_session(unit: Unit, session_id: str, owner: Principal) -> None:
    """Delete the session."""
    unit.session.execute(delete(BrowserSession).where(BrowserSession.id == session_id))
    audit.record(unit, "session_closed", owner, f"{owner.name} closed a session")
