"""The endpoint for Prometheus."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.api.auth import METRICS, GuardedRoute
from service.api.metrics_collector import Scrape
from service.api.problems import ALWAYS, responses
from service.lanes import NUMBERS

router = APIRouter(tags=["health"], route_class=GuardedRoute, responses=responses(*ALWAYS))


async def _scrape(request: Request) -> Scrape:
    return cast(Scrape, request.app.state.scrape)


@router.get("/metrics", dependencies=[METRICS], response_class=PlainTextResponse)
@NUMBERS.route
def metrics(scrape: Annotated[Scrape, Depends(_scrape)], request: Request) -> Response:
    """Get the metrics in Prometheus' text format. With BATON_METRICS_PUBLIC=1 no token is needed.

    They count all projects. 403: there are several projects, and the token belongs to one of them.
    """
    scrape.check(getattr(request.state, "principal", None))
    return Response(scrape.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
