"""Projects: whose jobs a token sees, and what a project may use."""

from __future__ import annotations

from sqlalchemy import select

from service.db.tables import Attempt
from tests.service.helpers import Api


def test_a_job_has_an_owner_and_a_project(api: Api) -> None:
    job = api.submit()
    assert (job["owner"], job["project"]) == ("user", "default")
    with api.services.database.read() as session:
        assert list(session.scalars(select(Attempt.project))) == ["default"]
