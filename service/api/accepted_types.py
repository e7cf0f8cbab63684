"""Whether a request prefers another form of an answer than JSON."""

from __future__ import annotations

JSON = "application/json"


def prefers(accept: str, media_type: str) -> bool:
    """Whether the header Accept names this media type and does not prefer JSON."""
    wishes = dict(_wish(part) for part in accept.lower().split(","))
    return wishes.get(media_type, 0.0) > 0 and wishes[media_type] >= wishes.get(JSON, 0.0)


def _wish(part: str) -> tuple[str, float]:
    media, *parameters = (word.strip() for word in part.split(";"))
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "q":
            try:
                return media, float(value.strip())
            except ValueError:
                return media, 0.0
    return media, 1.0
