"""The audit log: who did what. Each entry is written in the transaction of the action."""

from __future__ import annotations

from typing import Any

from baton.domain.lenient_reading import mapping
from baton.domain.tokens import NOBODY, AuditView
from service.db.auth_tables import AuditEntry
from service.db.unit_of_work import Unit, clean
from service.principal import Principal

STRANGER = Principal(NOBODY, frozenset())
"""The actor of a rejected request: an unauthenticated caller."""


def record(
    unit: Unit,
    kind: str,
    actor: Principal,
    message: str,
    data: dict[str, Any] | None = None,
    *,
    subject: str | None = None,
) -> None:
    """Append an entry. `subject`: id of the job or token that it is about."""
    row = AuditEntry(
        at=unit.now(),
        kind=kind,
        actor=actor.name,
        token_id=actor.token_id,
        subject=subject,
        message=clean(message),
        data=data or {},
    )
    unit.session.add(row)


def view(row: AuditEntry) -> AuditView:
    """One entry, as the API returns it."""
    return AuditView(
        number=row.number,
        at=row.at,
        kind=row.kind,
        actor=row.actor,
        token_id=row.token_id,
        subject=row.subject,
        message=row.message,
        data=mapping(row.data),
    )
