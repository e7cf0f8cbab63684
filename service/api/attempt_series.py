"""Series, as workers send them. Like all writes of workers, the calls run in the LEASES lane and contain the fence."""

from __future__ import annotations

from baton.domain.series import SeriesRecord, SeriesRecorded, SeriesRollback
from service.api.auth import OF_ATTEMPT
from service.api.dependencies import AttemptId, Ctx, guarded_router
from service.api.problems import BODY, responses
from service.db.unit_of_work import Unit
from service.lanes import LEASES
from service.usecases import series

router = guarded_router("attempts")
ERRORS = responses(404, 409, *BODY)


@router.post("/attempts/{attempt_id}/series", dependencies=[OF_ATTEMPT], responses=ERRORS)
@LEASES.route
def record_series(ctx: Ctx, attempt_id: AttemptId, message: SeriesRecord) -> SeriesRecorded:
    """Store points of series, such as the loss by step. A repeated call changes nothing.

    A series that has too many points keeps the least and the greatest value of each bucket of steps
    (BATON_SERIES_POINTS).
    """
    with ctx.leases.write() as session:
        return series.record(Unit(session), attempt_id, message, ctx.settings.series_points)


@router.post("/attempts/{attempt_id}/series/rollback", dependencies=[OF_ATTEMPT], status_code=204, responses=ERRORS)
@LEASES.route
def roll_back_series(ctx: Ctx, attempt_id: AttemptId, message: SeriesRollback) -> None:
    """Delete the points after a step, because the attempt continues from there. System metrics are kept.

    If the call fails, it may have deleted some of them. It can be repeated.
    """
    more = True
    while more:
        with ctx.leases.write() as session:
            more = series.roll_back(Unit(session), attempt_id, message)
