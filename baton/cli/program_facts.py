"""What a job that is a program runs, for `baton status` and `baton plan`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from baton.domain.lenient_reading import mapping

MOST_PARAMS = 300
"""Characters of the parameters. `--json` shows all of them."""


def program_facts(spec: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """The facts of a program's spec, which may have an unknown form: a newer service may have accepted it.

    >>> [(name, str(text)) for name, text in program_facts({"program": {"command": ["python", "a b.py"]}})]
    [('command', "python 'a b.py'"), ('code', 'none: the command runs what the worker has')]
    """
    program, monitor = mapping(spec.get("program")), mapping(spec.get("monitor"))
    command = program.get("command")
    yield "command", Text(shlex.join(map(str, command)) if isinstance(command, list) else "?")
    yield "code", Text(str(program.get("code") or "none: the command runs what the worker has"))
    if program.get("working_directory", ".") != ".":
        yield "directory", Text(str(program["working_directory"]))
    if environment := mapping(program.get("environment")):
        yield "environment", Text(" ".join(f"{name}={shlex.quote(str(value))}" for name, value in environment.items()))
    if params := mapping(spec.get("params")):
        text = json.dumps(params, ensure_ascii=False)
        yield "params", Text(text if len(text) <= MOST_PARAMS else f"{text[:MOST_PARAMS]}…")
    if data := mapping(spec.get("data")):
        yield "data", Text(", ".join(f"{name}: {reference}" for name, reference in data.items()))
    if monitor:
        yield "best by", Text(f"{monitor.get('metric')}, {monitor.get('mode')}")
