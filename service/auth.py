"""Who may ask: one bearer token for everything under /v1. Scoped tokens will take its place behind `authenticate`."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from service.api.text import check_json
from service.errors import Unauthorized
from service.services import Services

bearer = HTTPBearer(auto_error=False, description="The token that BATON_TOKEN gave to the service.")


@dataclass(frozen=True)
class Principal:
    """Who asks, as the log of events calls them."""

    name: str


def authenticate(request: Request) -> Principal:
    """Whoever sent this request. Raises Unauthorized."""
    services = cast(Services, request.app.state.services)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = services.settings.token.get_secret_value()
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
        raise Unauthorized("send the header 'Authorization: Bearer TOKEN' with this service's token")
    return Principal("user")


class GuardedRoute(APIRoute):
    """Asks for the token before it reads the body: a stranger learns nothing from how a body is refused."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind the guard."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.principal = authenticate(request)
            check_json(await request.body())
            return await handler(request)

        return guarded


def _principal(request: Request) -> Principal:
    return cast(Principal, request.state.principal)


Caller = Annotated[Principal, Depends(_principal)]
GUARD = [Security(bearer)]
