"""Keeps secrets out of the log: those that the process knows, and whatever has the form of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
# A shorter one would be found in ordinary words; in a URL it is hidden all the same.
LEAST = 6
_FORMS = (
    # scheme://user:password@host, also where a library quotes it
    (re.compile(r"(?<=://)([^\s:/@]*):([^\s/@]+)@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+"), rf"\1 {HIDDEN}"),
    # What the service draws: tokens, links, tokens of attempts. The id before the secret says which.
    (re.compile(r"\b(baton_(?:link|[0-9a-f]{12}|attempt_\w{32}_\d+_\w{32}_\w+?))_[0-9a-f]{64}\b"), rf"\1_{HIDDEN}"),
)


class Secrets:
    """What must not be told. `known`: tokens and passwords, as they are."""

    def __init__(self, known: Iterable[str | None] = ()) -> None:
        forms = {form for one in known if one for form in (one, quote(one, safe="")) if len(form) >= LEAST}
        # The longest first: one may be the beginning of another.
        parts = sorted(map(re.escape, forms), key=len, reverse=True)
        self._known = re.compile("|".join(parts)) if parts else None

    def hide(self, text: str) -> str:
        """The text without them."""
        found = self._known.sub(HIDDEN, text) if self._known else text
        for form, instead in _FORMS:
            found = form.sub(instead, found)
        return found


def password_of(url: str) -> str | None:
    """The password in a URL, as it is meant."""
    try:
        found = urlsplit(url).password
    except ValueError:
        return None
    return unquote(found) if found else None
