"""Client address and scheme behind proxies, from `X-Forwarded-For` and `X-Forwarded-Proto` of a trusted proxy.

Each proxy appends the address of its peer to the list that the client sent, so only the right end is reliable. The
client is the right-most address that is not a trusted proxy. uvicorn's own middleware is not used: if every peer is
trusted, it takes the left-most address, which a client can forge.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

ANY = "*"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def checked_proxy(text: str) -> str:
    """An address, a network or `*`. Raises ValueError."""
    if text != ANY:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(f"has {text[:60]!r}, which is neither an address, nor a network, nor *") from None
    return text


class Forwarded:
    """ASGI middleware: puts the client's address and scheme into the scope. It must be the outermost.

    `trusted`: proxies. `*` trusts every peer, and uses only the address that the peer appended.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app, self._any = app, ANY in trusted
        self._networks: list[_Network] = [ipaddress.ip_network(one) for one in trusted if one != ANY]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            _unmap(scope)
        if scope["type"] == "http" and self._from_proxy(scope):
            client = self._client(scope)
            scheme = next(reversed(_list(scope, b"x-forwarded-proto")), "").lower()
            if client:
                scope["client"] = (client, 0)
            if scheme in ("http", "https"):
                scope["scheme"] = scheme
        await self._app(scope, receive, send)

    def _from_proxy(self, scope: Scope) -> bool:
        peer = scope.get("client")
        return self._any or (peer is not None and self._trusted(_parsed(peer[0])))

    def _trusted(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def _client(self, scope: Scope) -> str:
        """The right-most address that is not a proxy. Empty if the proxy gave none."""
        found = ""
        for text in reversed(_list(scope, b"x-forwarded-for")):
            address = _parsed(text)
            if address is None:
                break  # addresses further left are not reliable either
            found = str(address)
            if not self._trusted(address):
                break
        return found


def _unmap(scope: Scope) -> None:
    """Return IPv4 addresses in IPv4 form. A server that listens on `::` gets 127.0.0.1 as ::ffff:127.0.0.1."""
    peer = scope.get("client")
    if peer is not None and peer[0].startswith("::ffff:"):
        scope["client"] = (str(_parsed(peer[0]) or peer[0]), peer[1])


def _list(scope: Scope, name: bytes) -> list[str]:
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]


def _parsed(text: str) -> _Address | None:
    """The address, parsed from text with or without a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
