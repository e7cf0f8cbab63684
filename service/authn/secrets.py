"""How tokens and cookies are made, and what is kept of them.

All are 256 bits from the system's generator. So one SHA-256 is as good as any slow hash: those make up for passwords
that can be guessed, and would cost each poll tens of milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

TOKEN = re.compile(r"baton_([0-9a-f]{12})_[0-9a-f]{64}")
LINK = re.compile(r"baton_link_[0-9a-f]{64}")


@dataclass(frozen=True)
class NewToken:
    """A new token. `id`: by which it is found and recognised; `text`: all of it, which is told once."""

    id: str
    text: str


def draw_token() -> NewToken:
    """A token that nobody has seen: baton_<id>_<secret>, all letters and digits, marked with one click."""
    name = secrets.token_hex(6)
    return NewToken(name, f"{prefix(name)}_{secrets.token_hex(32)}")


def prefix(token_id: str) -> str:
    """How the token of this id begins."""
    return f"baton_{token_id}"


def id_of(text: str) -> str | None:
    """The id in a text that has the form of a token."""
    found = TOKEN.fullmatch(text)
    return found[1] if found else None


def digest(text: str) -> str:
    """What is kept of a token, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def draw_cookie() -> str:
    """A session's secret, which its browser alone keeps."""
    return secrets.token_hex(32)


def session_id(cookie: str, bootstrap: str) -> str:
    """By what a session is found. Another BATON_TOKEN finds none: who changes that one ends all sessions."""
    return hmac.new(cookie.encode(), b"session:" + bootstrap.encode(), hashlib.sha256).hexdigest()


def draw_link() -> str:
    """The code of a link that signs a browser in, once."""
    return f"baton_link_{secrets.token_hex(32)}"


def link_id(code: str, bootstrap: str) -> str:
    """By what a link is found among the sessions. No cookie has such an id, so none opens what a link is for."""
    return hmac.new(code.encode(), b"link:" + bootstrap.encode(), hashlib.sha256).hexdigest()


def csrf_of(cookie: str) -> str:
    """What a page of the service's own origin can learn, and must send with each write; other pages cannot."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()
