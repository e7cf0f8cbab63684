"""Commands about projects and their quotas."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from baton.cli.app import USAGE, Group, Json, app, connect, console, fail, say
from baton.cli.render import as_json, table
from baton.client.errors import ApiError
from baton.domain.projects import ProjectView, Quotas

NONE = "none"
UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(kB|MB|GB|TB)?")
_NOT_FOUND = 404
project = typer.Typer(
    cls=Group, no_args_is_help=True, help="Create, change and delete projects. Needs the scope admin."
)
app.add_typer(project, name="project")
Name = Annotated[str, typer.Argument(help="Name of the project.")]


def _option(name: str, metavar: str, text: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(name, metavar=metavar, help=f"{text}, or `{NONE}` for no limit.")
    return found


@app.command()
def projects(json: Json = False) -> None:
    """List projects: what they use, and their quotas. A token of a project sees only this project."""
    with connect() as client:
        found = client.projects()
    if json:
        print(as_json(found))
        return
    made = table("project", "attempts", "queued", "data", "code", right=("attempts", "queued", "data", "code"))
    for one in found:
        quotas, use = one.quotas, one.use
        counts = (_of(str(use.attempts), quotas.max_attempts), _of(str(use.queued), quotas.max_queued))
        sizes = (_bytes(use.data_bytes, quotas.max_data_bytes), _bytes(use.code_bytes, quotas.max_code_bytes))
        made.add_row(one.name, *counts, *sizes)
    console().print(made)


@project.command(name="set")
def set_project(
    name: Name,
    max_attempts: Annotated[str | None, _option("--max-attempts", "N", "Attempts at once")] = None,
    max_queued: Annotated[str | None, _option("--max-queued", "N", "Jobs that wait for a worker")] = None,
    max_data: Annotated[str | None, _option("--max-data", "SIZE", "Pushed data, such as 500GB")] = None,
    max_code: Annotated[str | None, _option("--max-code", "SIZE", "Code bundles, such as 2GB")] = None,
    json: Json = False,
) -> None:
    """Create a project, or change its quotas. A quota without an option stays as it is."""
    given = {
        "max_attempts": _number("--max-attempts", max_attempts),
        "max_queued": _number("--max-queued", max_queued),
        "max_data_bytes": _size("--max-data", max_data),
        "max_code_bytes": _size("--max-code", max_code),
    }
    with connect() as client:
        try:
            before = client.project(name).quotas
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            before = Quotas()
        changed = {field: value[0] for field, value in given.items() if value is not None}
        made = client.put_project(name, before.model_copy(update=changed))
    print(as_json(made) if json else f"project {made.name}: {_told(made)}")


@project.command()
def delete(name: Name) -> None:
    """Delete a project without jobs, tokens, data and code."""
    with connect() as client:
        client.delete_project(name)
    say(f"project {name} is deleted")


def _told(one: ProjectView) -> str:
    limits = {
        "attempts at once": one.quotas.max_attempts,
        "queued jobs": one.quotas.max_queued,
        "bytes of data": one.quotas.max_data_bytes,
        "bytes of code": one.quotas.max_code_bytes,
    }
    told = [f"at most {most:,} {what}" for what, most in limits.items() if most is not None]
    return ", ".join(told) or "no limits"


def _of(used: str, most: int | None) -> str:
    return used if most is None else f"{used} of {most:,}"


def _bytes(used: int, most: int | None) -> str:
    return _short(used) if most is None else f"{_short(used)} of {_short(most)}"


def _short(size: int) -> str:
    unit = next((unit for unit, factor in reversed(UNITS.items()) if size >= factor), "")
    return f"{size / UNITS[unit]:.3g} {unit or 'B'}"


def _number(option: str, text: str | None) -> tuple[int | None] | None:
    """The number in a tuple: None stands for an option that was not given, and (None,) for no limit."""
    if text is None or text == NONE:
        return None if text is None else (None,)
    if not re.fullmatch(r"[0-9]+", text):
        fail(f"{option} must be a whole number, or {NONE}", USAGE)
    return (int(text),)


def _size(option: str, text: str | None) -> tuple[int | None] | None:
    if text is None or text == NONE:
        return None if text is None else (None,)
    found = _SIZE.fullmatch(text)
    if found is None:
        fail(f"{option} must be a size such as 500GB, or {NONE}", USAGE)
    return (round(float(found[1]) * UNITS[found[2] or ""]),)
