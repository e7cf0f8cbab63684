"""The audit log."""

from __future__ import annotations

from baton.domain.tokens import AuditPage
from service.api.auth import ADMIN
from service.api.dependencies import Ctx, PageSize, guarded_router
from service.api.jobs import Cursor
from service.db.audit import audit_page
from service.db.unit_of_work import Unit

router = guarded_router("audit")


@router.get("/audit", dependencies=[ADMIN])
def list_audit(ctx: Ctx, limit: PageSize = 50, cursor: Cursor | None = None) -> AuditPage:
    """List the audit log by pages, newest first. Wrong tokens appear within a minute."""
    with ctx.database.read() as session:
        return audit_page(Unit(session), None if cursor is None else int(cursor), limit)
