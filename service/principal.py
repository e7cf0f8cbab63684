"""The authenticated caller and its scopes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from baton.domain.projects import DEFAULT
from baton.domain.tokens import OWNER, READ_BOOTSTRAP, TUNNEL_BOOTSTRAP, WORK_BOOTSTRAP, Scope
from service.errors import Forbidden

ATTEMPT = "attempt"
"""The scope of an attempt's token. It allows only the calls of that attempt. No other token can have it."""


@dataclass(frozen=True)
class HeldAttempt:
    """The attempt and fence that a token is valid for. `token_id`: the token that claimed the attempt."""

    attempt_id: str
    fence: int
    job_id: str
    token_id: str | None


@dataclass(frozen=True)
class Principal:
    """The caller. `name` appears in logs. `token_id`: None for tokens of the settings.

    `hold`: the held attempt, if the token is the token of an attempt. `machine`: the token is only for programs, and
    cannot open a browser session. `project`: the project whose things it sees; None: all, for an administrator.
    `queues`: the queues that it is bound to; None: all.
    """

    name: str
    scopes: frozenset[str]
    token_id: str | None = None
    expires_at: datetime | None = None
    hold: HeldAttempt | None = None
    machine: bool = False
    project: str | None = None
    queues: frozenset[str] | None = None

    @property
    def key(self) -> str:
        """A key that is equal for all requests with one token, including those of its browser sessions."""
        return self.token_id or self.name

    @property
    def keys_of(self) -> str:
        """Whose idempotency keys it uses: its own, and as an administrator others in each project."""
        return f"{self.key}/{self.project}" if self.project is not None and Scope.ADMIN in self.scopes else self.key

    @property
    def home(self) -> str:
        """The project of what it makes."""
        return DEFAULT if self.project is None else self.project

    def within(self, project: str) -> Principal:
        """The same caller, limited to the things of one project."""
        return replace(self, project=project)

    def check_queues(self, queues: Iterable[str]) -> None:
        """Raise Forbidden if the caller is bound to other queues than these."""
        other = None if self.queues is None else next((one for one in queues if one not in self.queues), None)
        if other is not None:
            bound = ", ".join(sorted(self.queues or ()))
            raise Forbidden(f"the token {self.name} is bound to other queues than {other}: name one of {bound}")

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope, or the scope `admin`, which includes all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


BOOTSTRAP = Principal(OWNER, frozenset(Scope))
"""The administrator: callers with BATON_TOKEN."""

WORKERS = Principal(WORK_BOOTSTRAP, frozenset({Scope.WORK}), machine=True)
"""The workers of a deployment: callers with BATON_WORK_TOKEN."""

READERS = Principal(READ_BOOTSTRAP, frozenset({Scope.READ}), machine=True)
"""Autoscaler and Prometheus: callers with BATON_READ_TOKEN."""

TUNNEL = Principal(TUNNEL_BOOTSTRAP, frozenset({Scope.WORK}), machine=True)
"""The workers of a share: callers with BATON_TUNNEL_TOKEN."""
