"""The routes of the service in the order in which they are tried, and the OpenAPI document.

All apps of a process use the same routes, which are built once. FastAPI would build the validators of each route again
for each app, which takes longer than the rest of an app's start.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter
from starlette.routing import BaseRoute

from service.api import (
    artifacts,
    attempt_objects,
    attempt_series,
    attempts,
    audit,
    browser_sessions,
    bulk,
    catalog,
    code,
    curves,
    data,
    deletion,
    docs_page,
    events,
    health,
    install,
    job_changes,
    jobs,
    logs,
    metrics,
    notifications,
    projects,
    report,
    series,
    tokens,
)
from service.api.openapi import document
from service.api.openapi_texts import operation_id
from service.web import pages


def _routes() -> list[BaseRoute]:
    router = APIRouter(generate_unique_id_function=operation_id)
    for part in (
        attempts,  # first: routes are tried in order, and most requests are heartbeats
        attempt_objects,
        attempt_series,
        bulk,
        job_changes,
        jobs,
        deletion,
        curves,
        series,
        events,
        logs,
        artifacts,
        report,
        data,
        code,
        catalog,
        notifications,
        tokens,
        projects,
        browser_sessions,
        audit,
        health,
        install,
        metrics,
        docs_page,
        pages,
    ):
        router.include_router(part.router)
    return router.routes


ROUTES = _routes()


@cache
def openapi_document(version: str) -> dict[str, Any]:
    """The OpenAPI document of this version of the service."""
    return document(version, ROUTES)
