"""`baton dashboard`: prints a link that opens the dashboard and signs in."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from baton.cli.app import app, client_for, connect, say
from baton.client.client import Client
from baton.client.connection import Connection
from baton.domain.errors import BatonError

HINT = "signs in once, within 15 minutes"


@app.command()
def dashboard(
    opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Print a link that opens the dashboard and signs in. The link works once."""
    with connect() as client:
        link = link_of(client)
    say(HINT)
    print(link)
    if opened:
        webbrowser.open(link)


def link_of(client: Client) -> str:
    """A link that signs in as this client."""
    return f"{client.url}{client.sign_in_link().path}"


def link_or_address(connection: Connection) -> str:
    """A sign-in link of a service that has just started. If the service creates no link: its plain address."""
    with suppress(BatonError), client_for(connection) as client:
        return link_of(client)
    return connection.url
