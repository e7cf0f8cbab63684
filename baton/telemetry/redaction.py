"""Removes secrets from log lines: the known ones, and all text with the form of a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
# A shorter secret could be part of ordinary words. The pattern below still hides it in a URL.
LEAST = 6
_FORMS = (
    # scheme://user:password@host, also within quotes
    (re.compile(r"(?<=://)([^\s:/@]*):([^\s/@]+)@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+"), rf"\1 {HIDDEN}"),
    # Secrets that the service creates: tokens, links, tokens of attempts. The id before the secret stays readable.
    (re.compile(r"\b(baton_(?:link|[0-9a-f]{12}|attempt_\w{32}_\d+_\w{32}_\w+?))_[0-9a-f]{64}\b"), rf"\1_{HIDDEN}"),
)


class Secrets:
    """Secrets that must not be logged. `known`: tokens and passwords in plain form.

    >>> Secrets(["hunter22"]).hide("the token is hunter22, at http://me:pw@host/")
    'the token is ***, at http://me:***@host/'
    """

    def __init__(self, known: Iterable[str | None] = ()) -> None:
        forms = {form for one in known if one for form in (one, quote(one, safe="")) if len(form) >= LEAST}
        # The longest first: one secret may be the start of another.
        parts = sorted(map(re.escape, forms), key=len, reverse=True)
        self._known = re.compile("|".join(parts)) if parts else None

    def hide(self, text: str) -> str:
        """The text with each secret replaced by `***`."""
        found = self._known.sub(HIDDEN, text) if self._known else text
        for form, instead in _FORMS:
            found = form.sub(instead, found)
        return found


def password_of(url: str) -> str | None:
    """The decoded password in a URL; None if the URL has no password."""
    try:
        found = urlsplit(url).password
    except ValueError:
        return None
    return unquote(found) if found else None
