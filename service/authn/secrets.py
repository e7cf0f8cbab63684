"""Generates tokens and cookies, and computes their digests, which are stored instead of them.

Each secret has 256 random bits, so one SHA-256 is enough. A slow password hash protects only secrets that can be
guessed, and would cost each request tens of milliseconds.
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
    """A new token. `id`: its public part. `text`: the whole token, which is shown only once."""

    id: str
    text: str


def draw_token() -> NewToken:
    """Generate a token: baton_<id>_<secret>. It has only characters that a double click selects together."""
    name = secrets.token_hex(6)
    return NewToken(name, f"{prefix(name)}_{secrets.token_hex(32)}")


def prefix(token_id: str) -> str:
    """The first part of the token with this id."""
    return f"baton_{token_id}"


def id_of(text: str) -> str | None:
    """The id if the text has the form of a token, else None."""
    found = TOKEN.fullmatch(text)
    return found[1] if found else None


def digest(text: str) -> str:
    """The stored digest of a token, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def draw_cookie() -> str:
    """Generate the secret of a session. Only its browser stores it."""
    return secrets.token_hex(32)


def session_id(cookie: str, bootstrap: str) -> str:
    """The id of a session's row. It depends on BATON_TOKEN, so a change of BATON_TOKEN ends all sessions."""
    return hmac.new(cookie.encode(), b"session:" + bootstrap.encode(), hashlib.sha256).hexdigest()


def draw_link() -> str:
    """Generate the code of a link that signs a browser in once."""
    return f"baton_link_{secrets.token_hex(32)}"


def link_id(code: str, bootstrap: str) -> str:
    """The id of a link's row among the sessions. No cookie has this id, so a code cannot be used as a cookie."""
    return hmac.new(code.encode(), b"link:" + bootstrap.encode(), hashlib.sha256).hexdigest()


def csrf_of(cookie: str) -> str:
    """The CSRF token of a session. Only pages of the service's origin can read it, and each write must contain it."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()
