"""Formats numbers, names and times in a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

ABSENT = "–"
SHORT = 18
_MARKDOWN = {character: "\\" + character for character in r"\`*_[]#|~!"} | {"\n": " ", "\r": " ", "$": "&#36;"}


def percent(share: float | None, digits: int = 2) -> str:
    """A share as a percentage."""
    return ABSENT if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """A duration in its one or two largest units."""
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def moment(at: datetime | None) -> str:
    """A time in UTC."""
    return ABSENT if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def division(split: str | Mapping[str, Any] | None) -> str:
    """How a spec divides the images."""
    if not isinstance(split, Mapping):
        return split or "the data set's default"
    parts = [f"{percent(split[key], 0)} {name}" for key, name in (("train", "training"), ("val", "validation"))]
    match split.get("test"):
        case None:
            return ", ".join(parts)
        case "official":
            return f"{', '.join(parts)}; the official validation images are the test set"
        case share:
            return f"{', '.join(parts)}, {percent(share, 0)} test"


def shortened(text: str, longest: int = SHORT) -> str:
    """The first of several synonyms, cut to `longest` characters."""
    first = text.partition(",")[0].strip() or text
    return first if len(first) <= longest else first[: longest - 1].rstrip() + "…"


def short_names(names: Sequence[str], longest: int = SHORT) -> tuple[str, ...]:
    """All names, shortened. If two short names are equal, each gets its label as a suffix."""
    short = [shortened(name, longest) for name in names]
    often = Counter(short)
    return tuple(
        _with_suffix(names[label], f" ({label})", longest) if often[text] > 1 else text
        for label, text in enumerate(short)
    )


def _with_suffix(name: str, suffix: str, longest: int) -> str:
    return shortened(name, longest - len(suffix)) + suffix


def markdown(value: Any) -> Markup:
    """Escapes a text, so that Markdown shows it unchanged: HTML and Markdown in it have no effect."""
    text = str(escape("" if value is None else value))
    return Markup("".join(_MARKDOWN.get(character, character) for character in text))  # noqa: S704 - escaped above
