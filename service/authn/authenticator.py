"""Finds the caller by a token or a session cookie. Results are cached for some seconds, so that polling stays cheap."""

from __future__ import annotations

import hmac
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from sqlalchemy import Executable, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from baton.domain.states import HELD_ATTEMPTS
from baton.domain.tokens import Scope
from service.authn.attempt_tokens import AttemptTokens
from service.authn.failed_logins import FailedLogins
from service.authn.secrets import digest, id_of, link_id, session_id
from service.authn.write_rates import ARTIFACTS, NOTES, WriteRate
from service.db import audit
from service.db.auth_tables import ApiToken, BrowserSession
from service.db.engine import Database
from service.db.tables import Attempt
from service.db.types import db_now
from service.db.unit_of_work import Unit
from service.errors import TooManyFailures, Unauthorized
from service.principal import ATTEMPT, BOOTSTRAP, HeldAttempt, Principal

CACHE_SECONDS = 5.0
"""How long results are cached. For this time, a replica may still accept a token that another replica has revoked."""

KEPT = 10_000
USED_EVERY = timedelta(minutes=10)
TOKEN_COLUMNS = (
    ApiToken.name, ApiToken.scopes, ApiToken.expires_at, ApiToken.revoked_at, ApiToken.project, ApiToken.queues
)  # fmt: skip
NOW = db_now().label("now")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Credential:
    """What the caller sent: a token, or the cookie of a session."""

    text: str
    cookie: bool = False


@dataclass(frozen=True)
class _Cached:
    principal: Principal
    until: float


@dataclass
class _Cache:
    """Cached results. Authenticators on different connection pools share them."""

    found: OrderedDict[tuple[bool, str], _Cached] = field(default_factory=OrderedDict)
    forgotten: int = 0
    lock: Lock = field(default_factory=Lock)


class Authenticator:
    """Authenticates API tokens, browser sessions and tokens of attempts. Thread-safe.

    The database's clock decides whether a credential has expired. Cached results expire by this process's clock.
    """

    def __init__(
        self,
        database: Database,
        bootstrap: str,
        failures: FailedLogins,
        clock: Callable[[], float] = time.monotonic,
        machines: Mapping[str, Principal] | None = None,
    ) -> None:
        """`machines`: further tokens from the settings, and the caller for each of them."""
        self._database, self._bootstrap, self._clock = database, bootstrap, clock
        tokens = {**(machines or {}), bootstrap: BOOTSTRAP}
        self._fixed = [(digest(text), principal) for text, principal in tokens.items()]
        self.failures, self.attempts = failures, AttemptTokens(database)
        self.notes, self.artifacts = WriteRate("notes", *NOTES), WriteRate("versions of artifacts", *ARTIFACTS)
        self._cache = _Cache()

    def on(self, database: Database) -> Authenticator:
        """An authenticator on other connections. Both authenticators share the cache, counters and invalidations."""
        other = copy(self)
        other._database, other.attempts = database, AttemptTokens(database)
        return other

    def known(self, shown: Credential) -> Principal | None:
        """The caller, if its credential is in the settings or the cache. Does not query the database."""
        name = digest(shown.text)
        if not shown.cookie:
            # Compare with all tokens, even after a match, so that the time of the comparison reveals nothing.
            fixed = [principal for own, principal in self._fixed if hmac.compare_digest(name, own)]
            if fixed:
                return fixed[0]
        with self._cache.lock:
            cached = self._cache.found.get((shown.cookie, name))
        return cached.principal if cached is not None and self._clock() < cached.until else None

    def verify(self, shown: Credential, address: str) -> Principal:
        """The caller. Raises Unauthorized, or TooManyFailures after too many failures from the address."""
        known = self.known(shown)
        if known is not None:
            return known
        begun, forgotten = self._clock(), self._cache.forgotten
        try:
            principal, seconds = self._find(shown)
        except Unauthorized:
            if not shown.cookie:
                self._count(address)
            raise
        self._remember(shown, _Cached(principal, begun + min(seconds, CACHE_SECONDS)), forgotten)
        return principal

    def forget(self) -> None:
        """Clear the cache, because a token or session was revoked here."""
        with self._cache.lock:
            self._cache.found.clear()
            self._cache.forgotten += 1

    def holds(self, hold: HeldAttempt) -> bool:
        """Whether the attempt is still held with this fencing token."""
        query = select(Attempt.state).where(Attempt.id == hold.attempt_id, Attempt.fence == hold.fence)
        with self._database.peek() as connection:
            return connection.scalar(query) in HELD_ATTEMPTS

    def session_id(self, cookie: str) -> str:
        """The id of a session's row."""
        return session_id(cookie, self._bootstrap)

    def link_id(self, code: str) -> str:
        """The id of a link's row."""
        return link_id(code, self._bootstrap)

    def link_owner(self, code: str, address: str) -> Principal:
        """The creator of a sign-in link. Raises Unauthorized, TooManyFailures."""
        try:
            principal, _ = self._session(self.link_id(code))
        except Unauthorized:
            self._count(address)
            raise Unauthorized("this link was used, or is too old: make another with `baton dashboard`") from None
        # A session from the link may last until the creator's token expires, not only until the link does.
        row = self._row(select(ApiToken.expires_at).where(ApiToken.id == principal.token_id))
        return replace(principal, expires_at=row.expires_at if row is not None else None)

    def audit_failures(self) -> None:
        """Write one audit entry about the wrong tokens since the last call."""
        found = self.failures.take()
        if not found.count:
            return
        text, data = f"{found.count} wrong tokens", {"count": found.count, "addresses": found.addresses}
        log.warning("%s, most from %s", text, ", ".join(found.addresses))
        try:
            with self._database.write() as session:
                audit.record(Unit(session), "logins_failed", audit.STRANGER, text, data)
        except SQLAlchemyError as error:
            log.warning("the audit entry about wrong tokens could not be written: %s", type(error).__name__)

    def _remember(self, shown: Credential, cached: _Cached, forgotten: int) -> None:
        key, cache = (shown.cookie, digest(shown.text)), self._cache
        with cache.lock:
            if forgotten != cache.forgotten:
                return  # the result may have been read before a revocation
            cache.found[key] = cached
            cache.found.move_to_end(key)
            while len(cache.found) > KEPT:
                cache.found.popitem(last=False)

    def _count(self, address: str) -> None:
        """Count a failure. Raises TooManyFailures."""
        wait = self.failures.count(address)
        if wait is not None:
            raise TooManyFailures(wait) from None

    def _find(self, shown: Credential) -> tuple[Principal, float]:
        """The caller, and the seconds until the credential expires."""
        if shown.cookie:
            return self._session(self.session_id(shown.text))
        token_id = id_of(shown.text)
        if token_id is not None:
            return self._token(token_id, shown.text)
        hold = self.attempts.read(shown.text)
        if hold is None:
            raise Unauthorized("this token is not known here")
        self._check_claimant(hold)
        return Principal(f"attempt:{hold.attempt_id}", frozenset({ATTEMPT}), hold=hold), math.inf

    def _token(self, token_id: str, text: str) -> tuple[Principal, float]:
        row = self._row(
            select(*TOKEN_COLUMNS, ApiToken.digest, ApiToken.last_used_at, NOW).where(ApiToken.id == token_id)
        )
        if row is None or not hmac.compare_digest(row.digest, digest(text)):
            raise Unauthorized("this token is not known here")
        _check_unrevoked(row.name, row.revoked_at)
        seconds = _left(f"the token {row.name!r}", row.expires_at, row.now)
        if row.last_used_at is None or row.now - row.last_used_at > USED_EVERY:
            self._note_use(token_id, row.now)
        return _principal(row, token_id, row.expires_at), seconds

    def _session(self, name: str) -> tuple[Principal, float]:
        query = select(*TOKEN_COLUMNS, BrowserSession.token_id, BrowserSession.expires_at.label("ends_at"), NOW)
        query = query.select_from(BrowserSession).outerjoin(ApiToken, ApiToken.id == BrowserSession.token_id)
        row = self._row(query.where(BrowserSession.id == name))
        if row is None:
            raise Unauthorized("this session is over: log in again")
        seconds = _left("this session", row.ends_at, row.now)
        if row.token_id is None:
            return replace(BOOTSTRAP, expires_at=row.ends_at), seconds
        _check_unrevoked(row.name, row.revoked_at)
        return _principal(row, row.token_id, row.ends_at), seconds

    def _check_claimant(self, hold: HeldAttempt) -> None:
        """Reject the attempt's token if the claim's token was revoked. Otherwise a thief of it could keep the job."""
        if hold.token_id is None:
            return
        row = self._row(select(*TOKEN_COLUMNS).where(ApiToken.id == hold.token_id))
        if row is None:
            raise Unauthorized("the token with which this attempt was claimed is not known here")
        _check_unrevoked(row.name, row.revoked_at)

    def _row(self, query: Executable) -> Any:
        """The one row, or None."""
        with self._database.peek() as connection:
            return connection.execute(query).one_or_none()

    def _note_use(self, token_id: str, now: datetime) -> None:
        """Record that a token was used, at most once per USED_EVERY. A write costs more than most requests."""
        stale = or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < now - USED_EVERY)
        try:
            with self._database.write() as session:
                session.execute(update(ApiToken).where(ApiToken.id == token_id, stale).values(last_used_at=now))
        except SQLAlchemyError as error:
            log.warning("the last use of token %s could not be recorded: %s", token_id, type(error).__name__)


def _principal(row: Any, token_id: str, expires_at: datetime | None) -> Principal:
    """The caller with the token whose columns are in `row`."""
    scopes = frozenset(row.scopes)
    project = None if Scope.ADMIN in scopes else row.project
    queues = None if row.queues is None or project is None else frozenset(row.queues)
    return Principal(row.name, scopes, token_id, expires_at, project=project, queues=queues)


def _check_unrevoked(name: str, revoked_at: datetime | None) -> None:
    if revoked_at is not None:
        raise Unauthorized(f"the token {name!r} was revoked")


def _left(what: str, expires_at: datetime | None, now: datetime) -> float:
    """Seconds until the expiry. Raises Unauthorized if it has passed."""
    if expires_at is None:
        return math.inf
    if expires_at <= now:
        raise Unauthorized(f"{what} expired at {expires_at.isoformat(timespec='seconds')}")
    return (expires_at - now).total_seconds()
