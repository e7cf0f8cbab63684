"""Tokens: create, list, revoke."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response

from baton.domain.tokens import TokenCreated, TokenPage, TokenRequest, TokenView
from service.api.auth import ADMIN, Caller
from service.api.dependencies import Ctx, PageSize, guarded_router
from service.api.headers import NO_STORE
from service.api.jobs import Cursor
from service.api.problems import BODY, responses
from service.db.unit_of_work import Unit
from service.usecases import tokens

router = guarded_router("tokens")


@router.post("/tokens", dependencies=[ADMIN], status_code=201, responses=responses(404, 409, *BODY))
def create_token(ctx: Ctx, caller: Caller, request: TokenRequest, response: Response) -> TokenCreated:
    """Create a token. Only this answer contains its secret. 404: there is no such project."""
    response.headers["Cache-Control"] = NO_STORE
    with ctx.database.write() as session:
        return tokens.create_token(Unit(session), request, caller)


@router.get("/tokens", dependencies=[ADMIN])
def list_tokens(ctx: Ctx, limit: PageSize = 50, cursor: Cursor | None = None) -> TokenPage:
    """List tokens by pages, newest first, including revoked ones."""
    with ctx.database.read() as session:
        return tokens.token_page(Unit(session), None if cursor is None else int(cursor), limit)


@router.post("/tokens/{token_id}/revoke", dependencies=[ADMIN], responses=responses(404))
def revoke_token(ctx: Ctx, caller: Caller, token_id: Annotated[str, Path(max_length=64)]) -> TokenView:
    """Revoke a token permanently, within seconds at all replicas. Its sessions and attempts end."""
    with ctx.database.write() as session:
        view = tokens.revoke_token(Unit(session), token_id, caller)
    ctx.authenticator.forget()
    return view
