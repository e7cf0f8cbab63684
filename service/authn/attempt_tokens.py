"""The token of an attempt. It is signed, so a replica verifies it without a lookup. Its rights end with the attempt.

`baton_attempt_<attempt>_<fence>_<job>_<token, or 0>_<HMAC-SHA256>`
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from threading import Lock

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from service.db.auth_tables import SigningKey
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.principal import HeldAttempt

NAME = "attempts"
FORM = re.compile(r"(baton_attempt_([0-9a-f]{32})_([0-9]{1,18})_([0-9a-f]{32})_([0-9a-f]{12}|0))_([0-9a-f]{64})")


class AttemptTokens:
    """Signs and verifies tokens of attempts. Thread-safe.

    The key is stored in the database. All replicas share it, and it stays valid after a restart and a change of
    BATON_TOKEN.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: bytes | None = None
        self._lock = Lock()

    def sign(self, hold: HeldAttempt) -> str:
        """The token for this held attempt. The same attempt always gets the same token."""
        body = f"baton_attempt_{hold.attempt_id}_{hold.fence}_{hold.job_id}_{hold.token_id or 0}"
        return f"{body}_{self._seal(body)}"

    def read(self, text: str) -> HeldAttempt | None:
        """The held attempt for which the token was signed. None if the signature is invalid."""
        found = FORM.fullmatch(text)
        if found is None or not hmac.compare_digest(self._seal(found[1]), found[6]):
            return None
        return HeldAttempt(found[2], int(found[3]), found[4], None if found[5] == "0" else found[5])

    def _seal(self, body: str) -> str:
        with self._lock:
            if self._kept is None:
                self._kept = bytes.fromhex(self._find() or self._draw())
            key = self._kept
        return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()

    def _find(self) -> str | None:
        with self._database.peek() as connection:
            return connection.scalar(select(SigningKey.secret).where(SigningKey.name == NAME))

    def _draw(self) -> str:
        try:
            with self._database.write() as session:
                made = SigningKey(name=NAME, secret=secrets.token_hex(32), created_at=Unit(session).now())
                session.add(made)
        except IntegrityError:  # another replica generated it first
            found = self._find()
            if found is None:
                raise
            return found
        return made.secret
