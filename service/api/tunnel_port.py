"""The port for a tunnel. Its requests come from the internet, so it answers only the calls of workers.

The dashboard, its login, the administrator's token and the tokens of all other people work only at the main port. The
tunnel is a program on this machine, so headers cannot distinguish its requests from local requests, but the port can.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from baton.domain.tokens import Scope
from service.api.problems import problem
from service.errors import Forbidden, NotFound
from service.principal import ATTEMPT, Principal

MARK = "baton.tunnel"
ONLY_WORKERS = "this address is only for workers: use the service's own address for everything else"
FOR_WORKERS = frozenset({Scope.WORK, ATTEMPT})


class TunnelPort:
    """ASGI middleware: marks the requests of the tunnel's port. Refuses all paths except the API and /healthz."""

    def __init__(self, app: ASGIApp, port: int | None) -> None:
        self._app, self._port = app, port

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if self._port is not None and scope["type"] == "http" and (scope.get("server") or ("", None))[1] == self._port:
            scope[MARK] = True
            if scope["path"] != "/healthz" and not scope["path"].startswith("/v1/"):
                await problem(404, NotFound.code, ONLY_WORKERS)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def check_tunnel(scope: AsgiScope, principal: Principal | None) -> None:
    """Refuse a caller at the tunnel's port that is not a worker. `principal`: None for a route without a token.

    Raises NotFound, Forbidden.
    """
    if MARK not in scope:
        return
    if principal is None:
        raise NotFound(ONLY_WORKERS)
    if not principal.scopes <= FOR_WORKERS:
        raise Forbidden(f"{ONLY_WORKERS}; {principal.name} has more than the scope work", (Scope.WORK,))
