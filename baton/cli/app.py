"""The Typer application, and what all commands share: options, the client, exit statuses."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from baton.client.client import Client
from baton.client.connection import Connection, find_connection
from baton.client.errors import ApiError, ConfigurationError, Unreachable
from baton.client.find_job import AmbiguousJob
from baton.client.transport import RetryPolicy
from baton.domain.errors import BatonError, SpecError

DONE, JOB_FAILED, USAGE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 4
INTERRUPTED = 130
_BAD_REQUEST = frozenset({400, 413, 415, 422})
_NO_SPACE = 507

Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Id, start of an id, or name: the newest job with it.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a field, e.g. --set stages.0.epochs=2. * in a path means every member; null removes a field.",
    ),
]


class Group(TyperGroup):
    """Turns Baton's errors into a message and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except BatonError as error:
            fail(_explained(error), exit_status(error))
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Group,
    name="baton",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Resumable training on preemptible GPUs: an interrupted job continues at the exact step.",
)


def console() -> Console:
    """A console for standard output. It is new for each call, because tests and pipes replace standard output.

    It interprets no markup, because most of the text comes from workers and other users.
    """
    return Console(highlight=False, soft_wrap=False, markup=False)


def say(text: str) -> None:
    """Prints a plain line to standard error. A closed terminal is not an error."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def fail(message: str, status: int) -> NoReturn:
    """Ends the command with an error message and this exit status."""
    say(f"baton: {message}")
    raise typer.Exit(status)


def exit_status(error: BatonError) -> int:
    """The exit status for an error. Scripts rely on it."""
    if isinstance(error, ApiError):
        return _api_status(error.status)
    if isinstance(error, Unreachable | ConfigurationError):
        return UNREACHABLE
    if isinstance(error, SpecError | AmbiguousJob):
        return USAGE
    return int(getattr(error, "exit_status", JOB_FAILED))


def _api_status(status: int) -> int:
    if status in _BAD_REQUEST:
        return USAGE
    return REFUSED if status < 500 or status == _NO_SPACE else UNREACHABLE


def _explained(error: BatonError) -> str:
    if isinstance(error, Unreachable):
        return f"{error}\nIs it running? `baton up` starts a service. BATON_URL selects another. Try `baton doctor`."
    if isinstance(error, ApiError) and error.status == 401:
        return f"{error}\nSet BATON_TOKEN to a token of this service; `baton up` prints its token."
    if isinstance(error, ApiError) and error.status == 403:
        return f"{error}\nA user with the scope admin can create a token: baton token create NAME --scope ..."
    if isinstance(error, SpecError):
        return "the spec is invalid:" + "".join(f"\n  {e.field}: {e.message}" for e in error.errors)
    return str(error)


def connect() -> Client:
    """A client for the service from the environment, or of the `baton up` in this folder."""
    return client_for(find_connection())


def client_for(connection: Connection) -> Client:
    """A client with few retries, so that a person waits only some seconds for an error."""
    return Client(connection.url, connection.token, patience=RetryPolicy(tries=4), project=connection.project)
