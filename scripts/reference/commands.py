"""docs/reference/command-line.md from the Typer application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from baton.cli import app
from scripts.reference.markdown import code, page, table

INTRODUCTION = """
All commands of `baton` with their arguments and options. `baton COMMAND --help` prints the same. `BATON_URL` and
`BATON_TOKEN` set the service and the token. Without them a command uses the `baton up` that runs in this folder. Exit
statuses: 0 success, 1 the job failed or was cancelled, 2 bad usage or spec, 3 service not reachable, 4 refused, 130
interrupted.
"""


def command_page() -> str:
    """The page."""
    commands = dict(walk(typer.main.get_command(app)))
    return page("Command line", INTRODUCTION, *(_section(name, one) for name, one in commands.items()))


def walk(group: Any, name: str = "baton") -> Iterator[tuple[str, Any]]:
    """All commands of a group by their full names, in alphabetical order."""
    members = getattr(group, "commands", None)
    if members is None:
        yield name, group
        return
    for key in sorted(members):
        yield from walk(members[key], f"{name} {key}")


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *(_usage(one) for one in arguments)])
    rows = [(code(_usage(one)), _help(one), "") for one in arguments]
    rows += [(_spelled(one), _help(one), _default(one)) for one in options]
    found = table(("", "meaning", "default"), rows) if rows else ""
    text = " ".join((command.help or "").split()).replace("<", "\\<")
    return f"## {name}\n\n{text}\n\n```text\n{usage}\n```\n\n{found}"


def _usage(argument: Any) -> str:
    name = argument.metavar or str(argument.name).upper()
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


def _spelled(option: Any) -> str:
    plain = option.is_flag
    metavar = "" if plain else f" {option.metavar or str(option.name).upper()}"
    again = ", may be repeated" if option.multiple else ""
    names = [*option.opts, *option.secondary_opts]
    return ", ".join(code(f"{name}{metavar}") for name in names) + again


def _help(one: Any) -> str:
    return " ".join((getattr(one, "help", None) or "").split()).replace("<", "\\<")


def _default(option: Any) -> str:
    value = option.default
    if option.required:
        return "**required**"
    return "" if value is None or value is False or callable(value) else code(value)
