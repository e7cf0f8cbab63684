"""The types of settings that are lists, maps and addresses, and how they are read from text."""

from __future__ import annotations

import json
import os
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from baton.domain.notifications import NotificationKind
from service.forwarded_headers import checked_proxy
from service.root_path import root_path_of


def _read_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from None


LimitMap = Annotated[dict[str, Annotated[int, Field(ge=0, strict=True)]], NoDecode, BeforeValidator(_read_json)]


def _read_list(value: object) -> object:
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", value):
        raise ValueError(f"has {value[:100]!r}, which is not an origin")
    return value.lower()


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_read_list)]


Proxies = Annotated[tuple[Annotated[str, AfterValidator(checked_proxy)], ...], NoDecode, BeforeValidator(_read_list)]


def default_proxies() -> tuple[str, ...]:
    """The trusted proxies if the setting is not set."""
    # uvicorn's own variable: deployments used it before Baton had one.
    return tuple(
        one.strip() for one in os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1").split(",") if one.strip()
    )


Names = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_read_list)]
Notices = Annotated[tuple[NotificationKind, ...], NoDecode, BeforeValidator(_read_list)]


def address(value: str) -> str:
    """A URL without query and fragment. Raises ValueError."""
    if not re.fullmatch(r"https?://[^\s?#@]+", value):
        raise ValueError(f"has {value[:100]!r}, which is not an address")
    root_path_of(value)
    return value.rstrip("/")
