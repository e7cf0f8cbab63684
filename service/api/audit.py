"""The audit log."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import select

from baton.domain.tokens import AuditPage
from service.api.auth import ADMIN
from service.api.dependencies import Ctx, Cursor, PageSize, guarded_router, sort_by
from service.db import audit
from service.db.auth_tables import AuditEntry
from service.db.unit_of_work import Unit
from service.usecases.paging import Place, Sort, by_number

router = guarded_router("audit")


@router.get("/audit", dependencies=[ADMIN])
def list_audit(
    ctx: Ctx,
    sort: Annotated[str, *sort_by("created")] = "-created",
    limit: PageSize = 50,
    cursor: Cursor | None = None,
) -> AuditPage:
    """List the audit log by pages, newest first. Wrong tokens appear within a minute."""
    with ctx.database.read() as session:
        place = Place("audit", Sort.parse(sort))
        found = by_number(Unit(session), select(AuditEntry), AuditEntry.number, place, cursor, limit)
        return AuditPage(items=[audit.view(row) for row in found.rows], next_cursor=found.next_cursor)
