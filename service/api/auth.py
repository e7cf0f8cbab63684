"""Who may ask what: each route says which scope it needs, and one that says nothing cannot be made."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from baton.domain.errors import BatonError
from baton.domain.tokens import MEANINGS, Scope
from baton.telemetry import log_context
from service.api.body_checks import check_json
from service.api.context import Services
from service.api.request_limits import SHARE, Group, Sharer
from service.authn.authenticator import Authenticator, Credential
from service.authn.secrets import csrf_of
from service.errors import Forbidden, ForeignPage, Unauthorized
from service.lanes import LEASES, Lane, lane_of
from service.principal import ATTEMPT, HeldAttempt, Principal
from service.settings import Settings

COOKIE, CSRF_HEADER = "baton_session", "Baton-CSRF"
WORKER_HEADER = "Baton-Worker"
WORKER_NAME = re.compile(r"[\x21-\x7e]{1,200}")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_PAGES = frozenset({"same-origin", "none"})
SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "BATON_TOKEN, which has all scopes, or a token that POST /v1/tokens made. "
        + "; ".join(f"`{scope}`: {meaning}" for scope, meaning in MEANINGS.items())
        + f"; `{ATTEMPT}`: the token in the answer to a claim, good for that attempt alone.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A browser's session. It opens every operation that the token opens which it was begun with. "
        f"Whatever is not a GET needs the header {CSRF_HEADER} with what GET /v1/session calls `csrf`.",
    },
}


class Needs:
    """What a route requires: a token with one of these scopes. Without scopes the route is public.

    `schemes`: how the document says the token may be sent. A session works everywhere, and is listed only where it is
    the topic: with a cookie at each operation, Schemathesis reports unknown headers as errors. `unless`: the setting
    that makes the route public. `waits`: a worker may wait long for the answer.
    """

    def __init__(
        self, *scopes: str, schemes: Sequence[str] = ("bearer",), unless: str = "", waits: bool = False
    ) -> None:
        self.scopes, self.schemes, self._unless, self._waits = scopes, schemes, unless, waits

    async def __call__(self) -> None:
        """Nothing: the route itself asks, before it reads the body."""

    def asked_for(self, settings: Settings) -> bool:
        """Whether a token must be shown here."""
        return bool(self.scopes) and not (self._unless and getattr(settings, self._unless))

    def sharer(self, principal: Principal, request: Request) -> Sharer:
        """The caller whose share of the connections the request uses."""
        if principal.hold is not None:
            return Sharer(Group.ATTEMPT, principal.key, one_worker=True)
        if self.scopes == (Scope.WORK,):
            return _worker(Group.POLL if self._waits else Group.WORK, principal, request)
        return Sharer(Group.ADMIN if Scope.ADMIN in principal.scopes else Group.USER, principal.key)

    @property
    def text(self) -> str:
        """What would do, in words."""
        return "a token with the scope " + " or ".join(repr(str(scope)) for scope in self.scopes)

    def openapi(self) -> list[dict[str, list[str]]]:
        """Each alternative, as OpenAPI lists them."""
        return [{name: [scope]} for scope in map(str, self.scopes) for name in self.schemes]


OPEN = Depends(Needs())
READ, SUBMIT, WORK, ADMIN = (Depends(Needs(scope)) for scope in (Scope.READ, Scope.SUBMIT, Scope.WORK, Scope.ADMIN))
ANY_TOKEN = Depends(Needs(*Scope, schemes=("bearer", "session")))
METRICS = Depends(Needs(Scope.READ, unless="metrics_public"))
POLL = Depends(Needs(Scope.WORK, waits=True))
OF_ATTEMPT = Depends(Needs(ATTEMPT))
READ_OR_ATTEMPT = Depends(Needs(Scope.READ, ATTEMPT))


def _worker(group: Group, principal: Principal, request: Request) -> Sharer:
    """One of several workers with the same token. Older workers send no name: then the address is used."""
    name = request.headers.get(WORKER_HEADER, "")
    if WORKER_NAME.fullmatch(name):
        return Sharer(group, f"{principal.key} worker {name}", one_worker=True)
    return Sharer(group, f"{principal.key} address {address_of(request)}")


class GuardedRoute(APIRoute):
    """Asks for the token before it reads the body: a stranger learns nothing from how a body is refused."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.needs = _declared(path, options.get("dependencies") or ())
        self.lane = lane_of(endpoint)
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "security": self.needs.openapi()}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind the guard."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            log_context.bind(job=request.path_params.get("job_id"), attempt_id=request.path_params.get("attempt_id"))
            if self.needs.asked_for(request.app.state.services.settings):
                request.state.principal = await admitted(request, self.needs, self.lane)
                request.scope[SHARE].take(self.needs.sharer(request.state.principal, request))
            check_json(await request.body())
            return await handler(request)

        return guarded


def _declared(path: str, dependencies: Sequence[Dependency]) -> Needs:
    found = [one.dependency for one in dependencies if isinstance(one.dependency, Needs)]
    if len(found) != 1:
        raise TypeError(f"the route {path} must say once which scope it needs: see service.api.auth")
    return found[0]


async def admitted(request: Request, needs: Needs, lane: Lane | None = None) -> Principal:
    """The caller, if it has the required scope. `lane`: where the token is looked up. None: in the default pool.

    Raises Unauthorized, Forbidden, TooManyFailures.
    """
    shown = credential_of(request)
    if shown is None:
        raise Unauthorized(f"send the header 'Authorization: Bearer TOKEN' with {needs.text}", needs.scopes)
    try:
        principal = await identified(request, shown, lane)
    except Unauthorized as error:
        raise Unauthorized(f"{error}; this call needs {needs.text}", needs.scopes) from None
    if shown.cookie and request.method not in SAFE_METHODS:
        _check_own_page(request.headers, shown.text)
    await _check(authenticator_of(request), principal, needs, request.path_params)
    return principal


async def identified(request: Request, shown: Credential, lane: Lane | None = None) -> Principal:
    """Whose this is. Raises Unauthorized, TooManyFailures."""
    authenticator = (
        cast(Services, request.app.state.services).lease_authenticator if lane is LEASES else authenticator_of(request)
    )
    known = authenticator.known(shown)
    if known is not None:
        return known
    run = run_in_threadpool if lane is None else lane.run
    return await run(authenticator.verify, shown, address_of(request))


def address_of(request: Request) -> str:
    """The client's address, also behind trusted proxies (service.forwarded_headers)."""
    return request.client.host if request.client else "unknown"


async def still_admitted(request: Request) -> bool:
    """Whether what was admitted would be again, some time later."""
    shown = credential_of(request)
    try:
        return shown is not None and await identified(request, shown) == request.state.principal
    except (BatonError, SQLAlchemyError):  # of a database that is away nobody can say: the reader comes again
        return False


def credential_of(request: Request) -> Credential | None:
    """What the request shows: its header, and without one its cookie."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        return Credential(text.strip()) if scheme.lower() == "bearer" and text.strip() else None
    cookie = request.cookies.get(COOKIE)
    return Credential(cookie, cookie=True) if cookie else None


def authenticator_of(request: Request) -> Authenticator:
    """Who knows the tokens."""
    return cast(Services, request.app.state.services).authenticator


def check_site(headers: Mapping[str, str]) -> None:
    """Refuse what a page of another site sent. Browsers say so; what says nothing is no browser, or an old one."""
    if headers.get("Sec-Fetch-Site", "none").lower() not in OWN_PAGES:
        raise ForeignPage("a page of another site must not write in this session's name")


def _check_own_page(headers: Mapping[str, str], cookie: str) -> None:
    check_site(headers)
    if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), csrf_of(cookie).encode()):
        raise ForeignPage(f"a write in a session needs the header {CSRF_HEADER} with what GET /v1/session calls csrf")


async def _check(authenticator: Authenticator, principal: Principal, needs: Needs, path: Mapping[str, Any]) -> None:
    if any(principal.may(scope) for scope in needs.scopes if scope != ATTEMPT or principal.hold is None):
        return
    if principal.hold is None or ATTEMPT not in needs.scopes:
        has = ", ".join(sorted(principal.scopes))
        raise Forbidden(f"this call needs {needs.text}; {principal.name} has: {has}", needs.scopes)
    if not await _belongs(authenticator, principal.hold, path):
        raise Forbidden("this token is good for one attempt, while that is held, and for no other", needs.scopes)


async def _belongs(authenticator: Authenticator, hold: HeldAttempt, path: Mapping[str, Any]) -> bool:
    """Whether the path is that of the attempt or its job. Whether the attempt's writes still count decides its row."""
    if "attempt_id" in path:
        return bool(path["attempt_id"] == hold.attempt_id)
    return path.get("job_id") == hold.job_id and await run_in_threadpool(authenticator.holds, hold)


async def _principal(request: Request) -> Principal:
    return cast(Principal, request.state.principal)


Caller = Annotated[Principal, Depends(_principal)]
