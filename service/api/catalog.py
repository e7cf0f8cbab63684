"""Plans, networks, extensions, workers, queues."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Path, Query

from baton.domain.catalog import NETWORKS
from baton.domain.extensions import Extension
from baton.domain.plan_views import ExtensionView, NetworkView, PlanView
from baton.domain.queues import QUEUE
from baton.domain.spec import NotifySpec
from baton.domain.views import Listing, QueueView, WorkerView
from baton.domain.wire import WorkerReport
from service.api.attempts import admit
from service.api.auth import READ, SUBMIT, WORK, Caller
from service.api.dependencies import Ctx, guarded_router, installed
from service.api.problems import BODY, responses
from service.api.submission_body import SPEC_BODY, Body, PlanRequest, requested_spec
from service.db.unit_of_work import Unit
from service.lanes import LEASES
from service.usecases import plans, pushed_data, worker_demand, workers
from service.usecases.notifications import check_targets
from service.usecases.origins import project_of

router = guarded_router("catalog")


@router.get("/plans", dependencies=[READ])
def list_plans() -> Listing[PlanView]:
    """List the published plans."""
    return Listing(items=plans.list_plans())


@router.get("/plans/{name}", dependencies=[READ], responses=responses(404))
def show_plan(name: Annotated[str, Path(max_length=100)]) -> PlanView:
    """Get one published plan."""
    return plans.load_plan(name)


@router.post("/plans:preview", dependencies=[SUBMIT], openapi_extra=SPEC_BODY, responses=responses(*BODY))
def preview_plan(ctx: Ctx, caller: Caller, body: Body) -> PlanView:
    """Resolve a plan with changes, or a spec, without submitting it."""
    spec, request = requested_spec(body, ctx.database)
    view = plans.preview(request.plan if isinstance(request, PlanRequest) else None, spec, installed(ctx))
    check_targets(NotifySpec.model_validate(view.spec.get("notify") or {}), ctx.post.names)
    with ctx.database.read() as session:
        unit, origin = Unit(session), None if request is None else request.origin
        project = caller.home if caller.project or origin is None else project_of(unit, origin)
        pushed_data.check(unit, view.spec, project)
    return view


@router.get("/networks", dependencies=[READ])
def list_networks() -> Listing[NetworkView]:
    """List the networks that a spec may name."""
    return Listing(items=[NetworkView(**asdict(network)) for network in NETWORKS.values()])


@router.get("/extensions", dependencies=[READ])
def list_extensions(ctx: Ctx) -> Listing[ExtensionView]:
    """List the extensions that a spec may name: those installed on workers of the last day."""
    with ctx.database.read() as session:
        return Listing(items=workers.extension_views(Unit(session)))


@router.get("/workers", dependencies=[READ])
def list_workers(ctx: Ctx) -> Listing[WorkerView]:
    """List the workers that were seen within a day."""
    with ctx.database.read() as session:
        return Listing(items=workers.list_workers(Unit(session), ctx.settings.lost_after))


@router.post("/workers", dependencies=[WORK], status_code=204, responses=responses(409, *BODY))
@LEASES.route
def report_worker(ctx: Ctx, caller: Caller, message: WorkerReport) -> None:
    """Report that a worker is alive. 403: its token is bound to other queues than it serves. 409 `wrong-store`: it uses
    another store than the service."""
    caller.check_queues(message.queues)
    if message.store is None or message.store.problem is None:
        admit(ctx, message)
    with ctx.leases.write() as session:
        workers.report(Unit(session), message)


@router.get("/queues/{queue}", dependencies=[READ])
def show_queue(
    ctx: Ctx,
    queue: Annotated[str, Path(pattern=QUEUE)],
    extension: Annotated[
        list[Extension], Query(max_length=500, description="What the workers have installed, e.g. network/my-net")
    ] = [],  # noqa: B006 - FastAPI copies it
    worker: Annotated[
        str, Query(pattern=r"^[A-Za-z0-9._-]{0,200}$", description="Prefix of the workers whose attempts count as held")
    ] = "",
) -> QueueView:
    """Get the number of workers that the queue could use now, for an autoscaler."""
    with ctx.database.read() as session:
        return worker_demand.demand(Unit(session), queue, ctx.settings.limits, extensions=extension, workers=worker)
