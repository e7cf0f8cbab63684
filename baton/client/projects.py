"""Calls of the Python SDK about projects."""

from __future__ import annotations

from urllib.parse import quote

from baton.client.transport import Transport
from baton.domain.projects import ProjectView, Quotas
from baton.domain.views import Listing


class ProjectCalls:
    """The calls about projects. Changes need the scope admin. All raise `Unreachable` and `ApiError`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def projects(self) -> list[ProjectView]:
        """The projects that this client sees, with their quotas and what they use: all, or that of its token."""
        answer = self._transport.request("GET", "/v1/projects")
        return Listing[ProjectView].model_validate_json(answer.content).items

    def project(self, name: str) -> ProjectView:
        """One project."""
        return ProjectView.model_validate_json(self._transport.request("GET", _path(name)).content)

    def put_project(self, name: str, quotas: Quotas | None = None) -> ProjectView:
        """Creates a project, or replaces its quotas. A quota that is None is no limit."""
        body = (quotas or Quotas()).model_dump()
        return ProjectView.model_validate_json(self._transport.request("PUT", _path(name), json=body).content)

    def delete_project(self, name: str) -> None:
        """Deletes a project without jobs, tokens, data and code."""
        self._transport.request("DELETE", _path(name))


def _path(name: str) -> str:
    return f"/v1/projects/{quote(name, safe='')}"
