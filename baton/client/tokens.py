"""Calls of the Python SDK about tokens and the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar
from urllib.parse import quote

from baton.client.transport import Transport
from baton.domain.tokens import (
    AuditPage,
    AuditView,
    LinkView,
    SessionView,
    TokenCreated,
    TokenPage,
    TokenView,
)

PAGE = 100
_P = TypeVar("_P", TokenPage, AuditPage)


class TokenCalls:
    """The calls about tokens. They need the scope admin, except `whoami` and `sign_in_link`. All raise `Unreachable`
    and `ApiError`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def whoami(self) -> SessionView:
        """Name and scopes of this client's token."""
        return SessionView.model_validate_json(self._transport.request("GET", "/v1/session").content)

    def sign_in_link(self) -> LinkView:
        """A link that signs a browser in as this client. Valid once, for 15 minutes. `path`: relative to the URL."""
        return LinkView.model_validate_json(self._transport.request("POST", "/v1/session/links").content)

    def create_token(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        expires_seconds: float | None = None,
        project: str | None = None,
        queues: Iterable[str] | None = None,
    ) -> TokenCreated:
        """Creates a token. Only this answer contains its secret. `expires_seconds` None: the token does not expire.

        `project`: the project that it belongs to; None: the default project, or that of this client. `queues`: the only
        queues into which it may submit, or that it may serve; None: all.
        """
        body: dict[str, object] = {"name": name, "scopes": list(scopes), "expires_seconds": expires_seconds}
        # Left out if they are not given: an older service does not know them.
        body |= {} if project is None else {"project": project}
        body |= {} if queues is None else {"queues": list(queues)}
        return TokenCreated.model_validate_json(self._transport.request("POST", "/v1/tokens", json=body).content)

    def tokens(self) -> Iterator[TokenView]:
        """Yields all tokens, including revoked ones, newest first. Loads them page by page."""
        for page in self._pages("/v1/tokens", TokenPage):
            yield from page.items

    def revoke_token(self, token_id: str) -> TokenView:
        """Revokes a token permanently, with its browser sessions and the attempts that were claimed with it."""
        path = f"/v1/tokens/{quote(token_id, safe='')}/revoke"
        return TokenView.model_validate_json(self._transport.request("POST", path).content)

    def audit(self) -> Iterator[AuditView]:
        """Yields the entries of the audit log, newest first. Loads them page by page."""
        for page in self._pages("/v1/audit", AuditPage):
            yield from page.items

    def _pages(self, path: str, model: type[_P]) -> Iterator[_P]:
        cursor = None
        while True:
            answer = self._transport.request("GET", path, params={"limit": PAGE, "cursor": cursor})
            page = model.model_validate_json(answer.content)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return
