"""Authentication and authorization of requests. A route that does not declare its scope raises TypeError."""

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
from service.api.request_limits import BODY, SHARE, Group, Sharer, large_body
from service.api.tunnel_port import check_tunnel
from service.authn.authenticator import Authenticator, Credential
from service.authn.project_access import HEADER, NAMES
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
        "description": "BATON_TOKEN, which has all scopes, or a token from POST /v1/tokens. "
        + "; ".join(f"`{scope}`: {meaning}" for scope, meaning in MEANINGS.items())
        + f"; `{ATTEMPT}`: the token in the answer to a claim, valid only for that attempt.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A browser's session. It has the scopes of the token that opened it. "
        f"All requests except GET need the header {CSRF_HEADER} with the value `csrf` of GET /v1/session.",
    },
}


class Needs:
    """What a route requires: a token with one of these scopes. Without scopes the route is public.

    `schemes`: security schemes in the OpenAPI document. A session works for all routes, but the document lists it only
    for the session routes: with a cookie at each operation, Schemathesis reports unknown headers as errors. `unless`:
    the setting that makes the route public. `waits`: the service may delay the answer until there is work.
    `checks_project`: the route itself refuses the jobs and attempts of other projects that its path names.
    """

    def __init__(
        self,
        *scopes: str,
        schemes: Sequence[str] = ("bearer",),
        unless: str = "",
        waits: bool = False,
        checks_project: bool = False,
    ) -> None:
        self.scopes, self.schemes, self._unless, self._waits = scopes, schemes, unless, waits
        self.checks_project = checks_project

    async def __call__(self) -> None:
        """Do nothing: GuardedRoute checks the token before it reads the body."""

    def asked_for(self, settings: Settings) -> bool:
        """Whether the route requires a token."""
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
        """The required scopes in words."""
        return "a token with the scope " + " or ".join(repr(str(scope)) for scope in self.scopes)

    def openapi(self) -> list[dict[str, list[str]]]:
        """The alternatives as OpenAPI security requirements."""
        return [{name: [scope]} for scope in map(str, self.scopes) for name in self.schemes]


OPEN = Depends(Needs())
READ, SUBMIT, DATA, PROGRAMS, WORK, ADMIN = (Depends(Needs(scope)) for scope in Scope)
READ_OR_PROGRAMS = Depends(Needs(Scope.READ, Scope.PROGRAMS))
ANY_TOKEN = Depends(Needs(*Scope, schemes=("bearer", "session")))
METRICS = Depends(Needs(Scope.READ, unless="metrics_public"))
POLL = Depends(Needs(Scope.WORK, waits=True))
CLAIM = Depends(Needs(Scope.WORK, checks_project=True))
OF_ATTEMPT = Depends(Needs(ATTEMPT))
READ_OR_ATTEMPT = Depends(Needs(Scope.READ, ATTEMPT))


def _worker(group: Group, principal: Principal, request: Request) -> Sharer:
    """The share of one worker. Several workers may use one token. Older workers send no name: the address is used."""
    name = request.headers.get(WORKER_HEADER, "")
    if WORKER_NAME.fullmatch(name):
        return Sharer(group, f"{principal.key} worker {name}", one_worker=True)
    return Sharer(group, f"{principal.key} address {address_of(request)}")


class GuardedRoute(APIRoute):
    """Checks the token before it reads the body, so that callers without a token get no errors about bodies."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.needs = _declared(path, options.get("dependencies") or ())
        self.lane, self.large = lane_of(endpoint), large_body(endpoint)
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "security": self.needs.openapi()}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, after the checks of token and body."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            log_context.bind(job=request.path_params.get("job_id"), attempt_id=request.path_params.get("attempt_id"))
            if self.needs.asked_for(request.app.state.services.settings):
                request.state.principal = await admitted(request, self.needs, self.lane)
                check_tunnel(request.scope, request.state.principal)
                request.scope[SHARE].take(self.needs.sharer(request.state.principal, request))
                if not self.needs.checks_project:
                    await check_project(request, request.state.principal)
            else:
                check_tunnel(request.scope, None)
            if self.large is None:
                check_json(await request.body())
            else:
                request.scope[BODY].allow(self.large)
            return await handler(request)

        return guarded


def _declared(path: str, dependencies: Sequence[Dependency]) -> Needs:
    found = [one.dependency for one in dependencies if isinstance(one.dependency, Needs)]
    if len(found) != 1:
        raise TypeError(f"the route {path} must declare its scope exactly once: see service.api.auth")
    return found[0]


async def admitted(request: Request, needs: Needs, lane: Lane | None = None) -> Principal:
    """The caller, if it has the required scope. `lane`: the lane in which the token is looked up; None: default pool.

    Raises Unauthorized, Forbidden, InvalidRequest, TooManyFailures.
    """
    shown = credential_of(request)
    if shown is None:
        raise Unauthorized(f"send the header 'Authorization: Bearer TOKEN' with {needs.text}", needs.scopes)
    try:
        principal = await identified(request, shown, lane)
    except Unauthorized as error:
        raise Unauthorized(f"{error}; this call needs {needs.text}", needs.scopes) from None
    if shown.cookie and request.method not in SAFE_METHODS:
        check_site(request.headers)
        if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), csrf_of(shown.text).encode()):
            text = f"a write in a session needs the header {CSRF_HEADER} with the value csrf of GET /v1/session"
            raise ForeignPage(text)
    await _check(authenticator_of(request), principal, needs, request.path_params)
    return await _within_project(request, principal)


async def _within_project(request: Request, principal: Principal) -> Principal:
    """The caller, limited to the project that the request names. Raises InvalidRequest, Forbidden."""
    project = request.headers.get(HEADER)
    if project is None:
        return principal
    return await run_in_threadpool(_services_of(request).access.narrowed, principal, project)


async def check_project(request: Request, principal: Principal) -> None:
    """Check that the job or attempt in the path belongs to the caller's project. Raises NotFound."""
    if principal.project is not None and not NAMES.isdisjoint(request.path_params):
        await run_in_threadpool(_services_of(request).access.check, principal, request.path_params)


def _services_of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


async def identified(request: Request, shown: Credential, lane: Lane | None = None) -> Principal:
    """The caller with this credential. Raises Unauthorized, TooManyFailures."""
    authenticator = _services_of(request).lease_authenticator if lane is LEASES else authenticator_of(request)
    known = authenticator.known(shown)
    if known is not None:
        return known
    run = run_in_threadpool if lane is None else lane.run
    return await run(authenticator.verify, shown, address_of(request))


def address_of(request: Request) -> str:
    """The client's address, also behind trusted proxies (service.forwarded_headers)."""
    return request.client.host if request.client else "unknown"


async def still_admitted(request: Request) -> bool:
    """Whether the token of a long request is still valid."""
    shown = credential_of(request)
    try:
        if shown is None:
            return False
        admitted_as: Principal = request.state.principal
        return await _within_project(request, await identified(request, shown)) == admitted_as
    except (BatonError, SQLAlchemyError):  # also during an outage of the database: the reader then connects again
        return False


def credential_of(request: Request) -> Credential | None:
    """The credential of the request: from the header, or from the cookie if there is no header."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        return Credential(text.strip()) if scheme.lower() == "bearer" and text.strip() else None
    cookie = request.cookies.get(COOKIE)
    return Credential(cookie, cookie=True) if cookie else None


def authenticator_of(request: Request) -> Authenticator:
    """The authenticator on the default connections."""
    return _services_of(request).authenticator


def check_site(headers: Mapping[str, str]) -> None:
    """Refuse requests from pages of other sites. Current browsers send the header that shows the site of the page."""
    if headers.get("Sec-Fetch-Site", "none").lower() not in OWN_PAGES:
        raise ForeignPage("a page of another site must not write with this session")


async def _check(authenticator: Authenticator, principal: Principal, needs: Needs, path: Mapping[str, Any]) -> None:
    if any(principal.may(scope) for scope in needs.scopes if scope != ATTEMPT or principal.hold is None):
        return
    if principal.hold is None or ATTEMPT not in needs.scopes:
        has = ", ".join(sorted(principal.scopes))
        raise Forbidden(f"this call needs {needs.text}; {principal.name} has: {has}", needs.scopes)
    if not await _belongs(authenticator, principal.hold, path):
        raise Forbidden("this token is valid only for its attempt, and only while it is held", needs.scopes)


async def _belongs(authenticator: Authenticator, hold: HeldAttempt, path: Mapping[str, Any]) -> bool:
    """Whether the path names the attempt or its job. The attempt row decides whether writes are accepted."""
    if "attempt_id" in path:
        return bool(path["attempt_id"] == hold.attempt_id)
    return path.get("job_id") == hold.job_id and await run_in_threadpool(authenticator.holds, hold)


async def _principal(request: Request) -> Principal:
    return cast(Principal, request.state.principal)


Caller = Annotated[Principal, Depends(_principal)]
