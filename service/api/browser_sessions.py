"""Browser sessions: a browser sends a token once, then uses a cookie that scripts cannot read."""

from __future__ import annotations

from datetime import datetime

from fastapi import Request, Response

from baton.domain.tokens import LinkView, Scope, SessionRequest, SessionView
from service.api.auth import (
    ANY_TOKEN,
    COOKIE,
    OPEN,
    Caller,
    address_of,
    check_site,
    credential_of,
)
from service.api.context import Services
from service.api.dependencies import Ctx, guarded_router
from service.api.headers import NO_STORE
from service.api.problems import BODY, responses
from service.authn.authenticator import Credential
from service.authn.secrets import LINK, csrf_of, draw_cookie, draw_link
from service.db.unit_of_work import Unit
from service.errors import Forbidden, Unauthorized
from service.principal import Principal
from service.usecases import browser_sessions

router = guarded_router("session")
LINK_SECONDS = 900.0


@router.post("/session", dependencies=[OPEN], status_code=201, responses=responses(*BODY))
def open_session(ctx: Ctx, request: Request, response: Response, message: SessionRequest) -> SessionView:
    """Log a browser in. The answer sets a cookie. Its `csrf` is the value of the header Baton-CSRF of each write."""
    check_site(request.headers)
    text, cookie, seconds = message.token.strip(), draw_cookie(), ctx.settings.session_seconds
    link = text if LINK.fullmatch(text) else None
    owner = _owner(ctx, text, link, address_of(request))
    with ctx.database.write() as session:
        if link is not None:
            browser_sessions.use_link(Unit(session), ctx.authenticator.link_id(link))
        expires = browser_sessions.open_session(Unit(session), ctx.authenticator.session_id(cookie), owner, seconds)
    secure = ctx.settings.tls_proxy or request.url.scheme == "https"
    response.set_cookie(
        COOKIE, cookie, path=_path(ctx), max_age=int(seconds), secure=secure, httponly=True, samesite="strict"
    )
    response.headers["Cache-Control"] = NO_STORE
    return _view(owner, expires, cookie)


def _owner(ctx: Services, text: str, link: str | None, address: str) -> Principal:
    if link is not None:
        return ctx.authenticator.link_owner(link, address)
    owner = ctx.authenticator.verify(Credential(text), address)
    if owner.hold is not None:
        raise Unauthorized("the token of an attempt cannot open a session")
    _check_person(owner)
    return owner


def _check_person(owner: Principal) -> None:
    """Refuse machine tokens. They have no token id, and a session without one has all scopes. Raises Forbidden."""
    if owner.machine:
        raise Forbidden(f"the token {owner.name} is for programs: make one for people with `baton token create`", ())


@router.post("/session/links", dependencies=[ANY_TOKEN], status_code=201)
def make_link(ctx: Ctx, caller: Caller, request: Request, response: Response) -> LinkView:
    """Make a link that signs a browser in as this caller. The link works once, within 15 minutes. Needs a token."""
    shown, code = credential_of(request), draw_link()
    if shown is None or shown.cookie:
        raise Forbidden("a session cannot make links, because it could extend itself without end: use the token", ())
    _check_person(caller)
    with ctx.database.write() as session:
        expires = browser_sessions.make_link(Unit(session), ctx.authenticator.link_id(code), caller, LINK_SECONDS)
    response.headers["Cache-Control"] = NO_STORE
    return LinkView(path=f"/#sign-in={code}", expires_at=expires)


@router.get("/session", dependencies=[ANY_TOKEN])
def show_session(caller: Caller, request: Request, response: Response) -> SessionView:
    """Get the caller's name and scopes, for a token or a session."""
    shown = credential_of(request)
    response.headers["Cache-Control"] = NO_STORE
    return _view(caller, caller.expires_at, shown.text if shown and shown.cookie else None)


@router.delete("/session", dependencies=[ANY_TOKEN], status_code=204)
def close_session(ctx: Ctx, caller: Caller, request: Request, response: Response) -> None:
    """Log the browser out. With a token in the header it does nothing."""
    shown = credential_of(request)
    if shown is not None and shown.cookie:
        with ctx.database.write() as session:
            browser_sessions.close_session(Unit(session), ctx.authenticator.session_id(shown.text), caller)
        ctx.authenticator.forget()
    response.delete_cookie(COOKIE, path=_path(ctx), httponly=True, samesite="strict")


def _path(ctx: Services) -> str:
    """The path of the cookie. With a prefix, browsers do not send the cookie to other programs on the same host."""
    return ctx.settings.prefix or "/"


def _view(owner: Principal, expires: datetime | None, cookie: str | None) -> SessionView:
    return SessionView(
        name=owner.name,
        scopes=tuple(scope for scope in Scope if scope in owner.scopes),
        expires_at=expires,
        csrf=csrf_of(cookie) if cookie else None,
        project=owner.project,
        queues=None if owner.queues is None else tuple(sorted(owner.queues)),
    )
