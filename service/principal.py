"""Who asks, and what that one may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from baton.domain.tokens import OWNER, READ_BOOTSTRAP, WORK_BOOTSTRAP, Scope

ATTEMPT = "attempt"
"""The scope of an attempt's own token: what belongs to that one attempt. No other token can be given it."""


@dataclass(frozen=True)
class HeldAttempt:
    """The attempt that a token was given for, by the fence that it was claimed with. `token_id`: whose claim it was."""

    attempt_id: str
    fence: int
    job_id: str
    token_id: str | None


@dataclass(frozen=True)
class Principal:
    """The caller, as named in the logs. `token_id`: None for tokens of the settings. `hold`: of an attempt's token.

    `machine`: the token is only for programs, and cannot open a browser session.
    """

    name: str
    scopes: frozenset[str]
    token_id: str | None = None
    expires_at: datetime | None = None
    hold: HeldAttempt | None = None
    machine: bool = False

    @property
    def key(self) -> str:
        """Alike for all that one token does, its sessions too."""
        return self.token_id or self.name

    def may(self, scope: str) -> bool:
        """Whether one of the scopes is this one, or the one that holds all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


BOOTSTRAP = Principal(OWNER, frozenset(Scope))
"""Whoever has BATON_TOKEN."""

WORKERS = Principal(WORK_BOOTSTRAP, frozenset({Scope.WORK}), machine=True)
"""The workers of a deployment: callers with BATON_WORK_TOKEN."""

READERS = Principal(READ_BOOTSTRAP, frozenset({Scope.READ}), machine=True)
"""Autoscaler and Prometheus: callers with BATON_READ_TOKEN."""
