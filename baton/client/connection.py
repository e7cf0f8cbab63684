"""Which service to ask, and as whom: the environment, else a running `baton up` in this folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from baton.client.errors import ConfigurationError

DEFAULT_DATA = Path(".baton")
CONNECTION_FILE = "connection.json"


class Connection(BaseModel):
    """Where a service is. `source` says in words where that was found."""

    url: str
    token: str
    source: str = ""


def find_connection(environment: Mapping[str, str] = os.environ, data: Path = DEFAULT_DATA) -> Connection:
    """BATON_URL and BATON_TOKEN; what they leave open comes from the data directory of `baton up`.

    Raises:
        ConfigurationError: neither says it.
    """
    url, token = environment.get("BATON_URL"), environment.get("BATON_TOKEN")
    if url and token:
        return Connection(url=url, token=token, source="BATON_URL")
    running = read_connection(data)
    if running is None or (url and url.rstrip("/") != running.url):
        raise ConfigurationError(_advice(url))
    return Connection(url=running.url, token=token or running.token, source=str(data / CONNECTION_FILE))


def _advice(url: str | None) -> str:
    if url:
        return f"no token for {url}: set BATON_TOKEN to one that this service knows"
    return "no Baton service is known here: start one with `baton up` in this folder, or set BATON_URL and BATON_TOKEN"


def read_connection(data: Path) -> Connection | None:
    """What a running `baton up` wrote, or None."""
    try:
        return Connection.model_validate_json((data / CONNECTION_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
