"""Projects and their quotas."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response

from baton.domain.projects import ProjectName, ProjectView, Quotas
from baton.domain.views import Listing
from service.api.auth import ADMIN, READ, Caller
from service.api.dependencies import Ctx, guarded_router
from service.api.problems import BODY, responses
from service.db.unit_of_work import Unit
from service.usecases import projects

router = guarded_router("projects")
Name = Annotated[ProjectName, Path(description="The name of the project")]


@router.get("/projects", dependencies=[READ])
def list_projects(ctx: Ctx) -> Listing[ProjectView]:
    """List the projects with their quotas and what they use. A token of a project sees only this project."""
    with ctx.database.read() as session:
        return Listing(items=projects.views(Unit(session)))


@router.get("/projects/{project}", dependencies=[READ], responses=responses(404))
def show_project(ctx: Ctx, project: Name) -> ProjectView:
    """Get a project, its quotas, and what it uses."""
    with ctx.database.read() as session:
        unit = Unit(session)
        return projects.view(unit, projects.find(unit, project))


@router.put(
    "/projects/{project}",
    dependencies=[ADMIN],
    status_code=201,
    responses={200: {"model": ProjectView, "description": "The project existed"}, **responses(*BODY)},
)
def put_project(ctx: Ctx, caller: Caller, project: Name, quotas: Quotas, response: Response) -> ProjectView:
    """Create a project, or replace its quotas. A quota that is left out becomes no limit.

    A lower quota ends and deletes nothing: it applies to what comes after.
    """
    with ctx.database.write() as session:
        view, new = projects.put(Unit(session), project, quotas, caller)
    response.status_code = 201 if new else 200
    return view


@router.delete("/projects/{project}", dependencies=[ADMIN], status_code=204, responses=responses(404, 409))
def delete_project(ctx: Ctx, caller: Caller, project: Name) -> None:
    """Delete a project without jobs, tokens, data and code. The default project cannot be deleted."""
    with ctx.database.write() as session:
        projects.delete(Unit(session), project, caller)
