"""Jobs of several projects."""

from __future__ import annotations

from typing import Any

from baton.domain.spec import parse_spec
from service.db.project_table import Project
from service.db.unit_of_work import Unit
from service.principal import Principal
from service.usecases.submit import submit
from tests.service.helpers import Api, spec


def submitted(api: Api, project: str, count: int = 1, owner: str = "ada", **changes: Any) -> list[str]:
    """Submit jobs into a project, in one transaction. Returns their ids."""
    caller = Principal(owner, frozenset({"submit"}), project=project)
    with api.services.database.write() as session:
        unit = Unit(session)
        if session.get(Project, project) is None:
            session.add(Project(name=project, created_at=unit.now(), created_by="user"))
            session.flush()
        return [submit(unit, parse_spec(spec(**changes)), caller).id for _ in range(count)]
