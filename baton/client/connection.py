"""Finds URL and token of the service: in the environment, or from a running `baton up` in this folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from baton.client.errors import ConfigurationError

DEFAULT_DATA = Path(".baton")
CONNECTION_FILE = "connection.json"


class Connection(BaseModel):
    """URL and token of a service. `source`: where they were found, as text for users.

    `project`: the project in which an administrator acts; None: all.
    """

    url: str
    token: str
    source: str = ""
    project: str | None = None


def find_connection(environment: Mapping[str, str] = os.environ, data: Path = DEFAULT_DATA) -> Connection:
    """The connection from BATON_URL and BATON_TOKEN. A variable that is not set is replaced by the value
    in the data directory of `baton up`. `BATON_PROJECT`: the project in which an administrator acts.

    Raises:
        ConfigurationError: URL or token is not known.
    """
    url, token = environment.get("BATON_URL"), environment.get("BATON_TOKEN")
    project = environment.get("BATON_PROJECT") or None
    if url and token:
        return Connection(url=url, token=token, source="BATON_URL", project=project)
    running = read_connection(data)
    if running is None or (url and url.rstrip("/") != running.url):
        raise ConfigurationError(_advice(url, data))
    source = str(data / CONNECTION_FILE)
    return Connection(url=running.url, token=token or running.token, source=source, project=project)


def _advice(url: str | None, data: Path) -> str:
    if url:
        return f"no token for {url}: set BATON_TOKEN to a token of this service"
    above = next((folder for folder in Path.cwd().parents if read_connection(folder / data)), None)
    if above is not None:  # not used without being asked: the folder may be that of another user
        return f"`baton up` runs in {above}, and not in this folder: go there, or set BATON_URL and BATON_TOKEN"
    return "no Baton service is known: start one with `baton up` in this folder, or set BATON_URL and BATON_TOKEN"


def read_connection(data: Path) -> Connection | None:
    """The connection that a running `baton up` wrote into its data directory; None without a running stack."""
    try:
        return Connection.model_validate_json((data / CONNECTION_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
