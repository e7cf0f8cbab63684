"""Notification targets, and a test of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Annotated

from baton.domain.notification_targets import NotificationTest, NotificationTested, TargetView
from baton.domain.views import Listing
from service.api.auth import ADMIN, READ, Caller
from service.api.context import Services
from service.api.dependencies import COMPLETE, Ctx, Cursor, Most, guarded_router, sort_by
from service.api.problems import BODY, responses
from service.db import audit
from service.db.unit_of_work import Unit
from service.errors import Conflict, NotFound
from service.principal import Principal
from service.usecases.paging import Place, Sort, in_memory

router = guarded_router("notifications")
TITLE = "Baton: a test"
TEXT = "This is a test of Baton's notifications, sent by {name}. It is not about a job."
# A test waits for endpoints in a thread of the request pool. One test at a time leaves the other threads free.
_testing = Lock()


@router.get("/notifications/targets", dependencies=[READ])
def list_targets(
    ctx: Ctx,
    sort: Annotated[str, *sort_by("name")] = "name",
    limit: Most = COMPLETE,
    cursor: Cursor | None = None,
) -> Listing[TargetView]:
    """List the targets that a spec may name under `notify.targets`. Their URLs stay secret."""
    targets = [TargetView(name=name, default=name in ctx.policy.targets) for name in ctx.post.names]
    found = in_memory(targets, lambda one: (one.name,), Place("targets", Sort.parse(sort)), cursor, limit, str)
    return Listing(items=found.rows, next_cursor=found.next_cursor)


@router.post("/notifications:test", dependencies=[ADMIN], responses=responses(404, 409, *BODY))
def test_targets(ctx: Ctx, caller: Caller, request: NotificationTest) -> Listing[NotificationTested]:
    """Send a test message to one target or to all, and get the results. One test at a time."""
    names = _asked(ctx, request)
    if not _testing.acquire(blocking=False):
        raise Conflict("another test is running; try again when it has ended")
    try:
        found = _send(ctx, names, caller)
    finally:
        _testing.release()
    with ctx.database.write() as session:
        audit.record(Unit(session), "notifications_tested", caller, f"test sent to {', '.join(names) or 'no target'}")
    return Listing(items=found)


def _asked(ctx: Services, request: NotificationTest) -> tuple[str, ...]:
    names = ctx.post.names
    if request.target is None:
        return names
    if request.target not in names:
        raise NotFound(f"there is no target {request.target!r}; existing targets: {', '.join(names) or 'none'}")
    return (request.target,)


def _send(ctx: Services, names: tuple[str, ...], caller: Principal) -> list[NotificationTested]:
    def one(name: str) -> NotificationTested:
        problem = ctx.post.send(name, TITLE, TEXT.format(name=caller.name))
        return NotificationTested(target=name, sent=problem is None, problem=problem)

    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        return list(pool.map(one, names))
