"""`baton events` and `baton logs`: show a job's events and its output, and can follow them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from baton.cli.app import Job, Json, app, connect, console, say
from baton.cli.render import events_lines
from baton.client.client import ENDED, Client
from baton.client.errors import Unreachable
from baton.client.find_job import find_job
from baton.domain.views import EventView

# Control characters except tab, line feed, carriage return, and an ESC that starts a colour.
_COMMAND = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)")
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show new lines until the job ends.")]


def _say_once() -> Callable[[Unreachable], None]:
    said = False

    def say_first(error: Unreachable) -> None:
        nonlocal said
        if not said:
            say(f"{error}; trying again")
        said = True

    return say_first


@app.command()
def events(job: Job, follow: Follow = False, json: Json = False) -> None:
    """Show the events of a job."""
    with connect() as client:
        found = find_job(client, job)
        if not follow:
            _show(client.events(found.id), json)
            return
        for event in client.events_stream(found.id, on_outage=_say_once()):
            _show([event], json)


def _show(fresh: list[EventView], json: bool) -> None:
    if json:
        for event in fresh:
            print(event.model_dump_json(), flush=True)
    elif fresh:
        console().print(events_lines(fresh), soft_wrap=True)


@app.command()
def logs(
    job: Job,
    attempt: Annotated[int | None, typer.Option(metavar="N", min=1, help="Attempt; default: the newest.")] = None,
    follow: Follow = False,
) -> None:
    """Show the output of a job's training process."""
    with connect() as client:
        found = find_job(client, job)
        number = attempt or found.attempts
        if not follow:
            _write(client.log(found.id, number).data.decode("utf-8", "replace"))
            return
        for text in _follow_logs(client, found.id, number, only=attempt is not None):
            _write(text)


def _write(text: str) -> None:
    """Prints the text. On a terminal, control characters are replaced, except those for colours and progress bars."""
    sys.stdout.write(_COMMAND.sub("\ufffd", text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _follow_logs(client: Client, job_id: str, number: int, *, only: bool) -> Iterator[str]:
    while True:
        say(f"attempt {number}:")
        yield from client.log_stream(job_id, number, on_outage=_say_once())
        following = None if only else _next_attempt(client, job_id, number)
        if following is None:
            return
        number = following


def _next_attempt(client: Client, job_id: str, number: int) -> int | None:
    """Waits for the attempt after this one. None if the job ends without another."""
    for job in client.follow(job_id, on_outage=_say_once()):
        if job.attempts > number:
            return number + 1
        if job.status in ENDED:
            break
    return None
