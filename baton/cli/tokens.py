"""Commands about tokens and the audit log."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from baton.cli.app import USAGE, Group, Json, app, connect, console, fail, say
from baton.cli.render import as_json, table
from baton.cli.times import ago
from baton.domain.durations import parse_duration
from baton.domain.projects import DEFAULT
from baton.domain.tokens import MEANINGS, Scope, TokenView

PREFIX = "baton_"
SCOPES = "; ".join(f"{scope}: {meaning}" for scope, meaning in MEANINGS.items())
token = typer.Typer(cls=Group, no_args_is_help=True, help="Create, list and revoke tokens. Needs the scope admin.")
app.add_typer(token, name="token")


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the token in the logs.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help=f"May be repeated. {SCOPES}.")],
    expires: Annotated[str | None, typer.Option(metavar="T", help="Such as 30d or 12h; default: no expiry.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="P", help="The project that it belongs to; default: `default`.")
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="Q", help="The only queue that it may use; may be repeated. Default: all."),
    ] = None,
    json: Json = False,
) -> None:
    """Create a token. Its secret is printed once, to standard output."""
    seconds = _seconds(expires)
    with connect() as client:
        scopes = [one.value for one in scope]
        made = client.create_token(name, scopes, expires_seconds=seconds, project=project, queues=queue or None)
    if json:
        print(as_json(made))
        return
    ends = f"until {made.expires_at.astimezone():%Y-%m-%d %H:%M}" if made.expires_at else "until it is revoked"
    where = f" in the project {made.project}" if made.project != DEFAULT else ""
    where += f" in the queues {', '.join(made.queues)}" if made.queues else ""
    say(f"token {made.id} ({made.name}) may {', '.join(made.scopes)}{where} {ends}; keep it, it is not shown again:")
    print(made.token)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        fail(f"--expires {error}", USAGE)


@token.command(name="list")
def list_tokens(
    every: Annotated[bool, typer.Option("--all", help="Also revoked and expired tokens.")] = False,
    json: Json = False,
) -> None:
    """List tokens, newest first."""
    with connect() as client:
        found = [one for one in client.tokens() if every or one.state == "active"]
    if json:
        print(as_json(found))
        return
    several = any(one.project != DEFAULT for one in found)
    columns = ("id", "name", *(("project",) if several else ()), "scopes", "state", "age", "used")
    made = table(*columns, right=("age", "used"), wrap="scopes")
    for one in found:
        project = ("*" if Scope.ADMIN in one.scopes else one.project,) if several else ()
        times = ago(one.created_at), ago(one.last_used_at)
        made.add_row(one.id, one.name, *project, " ".join([*one.scopes, *_queues(one)]), _state(one), *times)
    console().print(made)


def _queues(one: TokenView) -> list[str]:
    return [f"queue:{queue}" for queue in one.queues or ()]


def _state(one: TokenView) -> str:
    if one.state == "active" and one.expires_at is not None:
        return f"ends {one.expires_at.astimezone():%Y-%m-%d}"
    return one.state


@token.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The id from the list, or the start of the token.")],
    json: Json = False,
) -> None:
    """Revoke a token permanently, with its browser sessions and the attempts that were claimed with it."""
    with connect() as client:
        revoked = client.revoke_token(token_id.removeprefix(PREFIX).partition("_")[0])
    print(as_json(revoked) if json else f"token {revoked.id} ({revoked.name}) is revoked")


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number, the newest first.")] = 50,
    json: Json = False,
) -> None:
    """Show the audit log: who created tokens, controlled jobs, signed in. Needs the scope admin."""
    with connect() as client:
        lines = list(islice(client.audit(), limit))
    if json:
        print(as_json(lines))
        return
    made = table("when", "who", "what", wrap="what")
    for one in lines[::-1]:
        made.add_row(f"{one.at.astimezone():%Y-%m-%d %H:%M:%S}", one.actor, one.message)
    console().print(made)
