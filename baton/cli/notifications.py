"""Commands about notifications."""

from __future__ import annotations

from typing import Annotated

import typer

from baton.cli.app import DONE, JOB_FAILED, Group, Json, app, connect, console, say
from baton.cli.render import as_json, table

NONE = "this service has no notification targets: neither BATON_NOTIFY_URLS nor BATON_NOTIFY_FILE is set for it"
notify = typer.Typer(cls=Group, no_args_is_help=True, help="Show the notification targets, and send a test message.")
app.add_typer(notify, name="notify")


@notify.command(name="list")
def list_targets(json: Json = False) -> None:
    """List the targets that a spec may name under notify.targets."""
    with connect() as client:
        found = client.targets()
    if json:
        print(as_json(found))
        return
    if not found:
        say(NONE)
        return
    made = table("target", "gets messages about")
    for one in found:
        made.add_row(one.name, "jobs that name it, or name no target" if one.default else "jobs that name it")
    console().print(made)


@notify.command()
def test(
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="Name of a target; default: all.")] = None,
    json: Json = False,
) -> None:
    """Send a test message. Needs the scope admin. Exit status 1: a message could not be sent."""
    with connect() as client:
        found = client.test_notifications(target)
    if json:
        print(as_json(found))
    elif not found:
        say(NONE)
    else:
        for one in found:
            print(f"{one.target}: sent" if one.sent else f"{one.target}: not sent, {one.problem}")
    raise typer.Exit(DONE if found and all(one.sent for one in found) else JOB_FAILED)
