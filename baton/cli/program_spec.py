"""Builds the spec of a program from the options of `baton submit`."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from baton.cli.app import USAGE, fail, say
from baton.client.client import Client
from baton.domain.text import safe
from baton.domain.yaml_text import BadYaml, read_yaml
from baton.system.caches import megabytes

SHOWN = 10
PYTHON = re.compile(r"python(3(\.\d+)?)?")


@dataclass(frozen=True)
class ProgramOptions:
    """What the options say. None and empty: the option was not given."""

    command: str | None = None
    code: Path | None = None
    params: str | None = None
    monitor: str | None = None
    data: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self != ProgramOptions()


def with_options(spec: Mapping[str, Any], options: ProgramOptions) -> dict[str, Any]:
    """The spec with the fields that the options give, without the code. Ends the command if an option is wrong.

    `spec`: the spec from a file; empty without a file.
    """
    found = dict(spec)
    if options.command is not None:
        found["program"] = {**mapping(found, "program"), "command": words_of(options.command)}
    if "program" not in found:
        fail("--code, --params, --monitor and --data belong to a program: add --program COMMAND", USAGE)
    if options.params is not None:
        found["params"] = {**mapping(found, "params"), **_params(options.params)}
    if options.monitor is not None:
        found["monitor"] = _monitor(options.monitor)
    if options.data:
        found["data"] = {**mapping(found, "data"), **dict(map(_data, options.data))}
    found.setdefault("name", _name(options))
    return found


def with_code(client: Client, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The spec with the digest of the folder, which is pushed. Says what was left out of it."""
    script = _script(spec)
    if script is not None:
        _need_script(script, folder.expanduser())
    pushed = client.push_code(folder)
    files = f"{pushed.files:,} files" if pushed.files != 1 else "1 file"
    say(f"code: {files}, {megabytes(pushed.bytes)}" + ("" if pushed.sent else "; the service has it already"))
    for one in pushed.left_out[:SHOWN]:
        say(f"left out: {safe(one.path)} {one.why}")
    if (more := len(pushed.left_out) - SHOWN) > 0:
        say(f"left out: {more:,} more files")
    if script is not None and str(script) not in pushed.paths:
        fail(f"--program: {script} was not sent: git ignores it, or it is in the list above", USAGE)
    return {**spec, "program": {**mapping(spec, "program"), "code": pushed.code}}


def _script(spec: Mapping[str, Any]) -> PurePosixPath | None:
    """The Python script that the command runs, relative to the folder of the code. None: it runs something else."""
    program = mapping(spec, "program")
    words, place = program.get("command"), program.get("working_directory", ".")
    if not isinstance(words, list) or len(words) < 2 or not all(isinstance(one, str) for one in (*words, place)):
        return None  # the service says what is wrong
    path = posixpath.normpath(posixpath.join(place, words[1]))
    is_script = PYTHON.fullmatch(words[0]) and path.endswith(".py") and not path.startswith(("/", ".."))
    return PurePosixPath(path) if is_script else None


def _need_script(script: PurePosixPath, folder: Path) -> None:
    """Ends the command if the script is not in the folder."""
    if folder.is_dir() and not (folder / script).is_file():
        hint = f"; write {script.name}" if (folder / script.name).is_file() else ""
        fail(f"--program: {script} is not in {folder}, where the command runs{hint}", USAGE)


def mapping(spec: Mapping[str, Any], field: str) -> dict[str, Any]:
    """A field of the spec that is a mapping; empty if it is not there. Ends the command if it is something else."""
    value = spec.get(field) or {}
    if not isinstance(value, dict):
        fail(f"{field} in the spec must be a mapping", USAGE)
    return value


def words_of(command: str) -> list[str]:
    """The words of a command, split as a shell does it. Ends the command if there are none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        fail(f"--program: the command {command!r} has an open quote or escape: {error}", USAGE)
    if not words:
        fail("--program needs a command, e.g. --program 'python train.py'", USAGE)
    return words


def _params(text: str) -> dict[str, Any]:
    """The parameters in a file, or in the text itself."""
    inline = text.lstrip().startswith("{")
    try:
        found = _values(text if inline else Path(text).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--params: cannot read {text}: {error}; give a file, or JSON such as '{{\"lr\": 0.1}}'", USAGE)
    except BadYaml as error:
        fail(f"--params: {'the text' if inline else text} is not JSON or YAML: {error}", USAGE)
    if not isinstance(found, dict):
        fail("--params must be a mapping of names to values", USAGE)
    return found


def _values(text: str) -> Any:
    """The value of JSON or YAML. JSON is tried first: to YAML 1.1 its number 1e5 is text."""
    try:
        return json.loads(text)
    except ValueError:
        return read_yaml(text)


def _monitor(text: str) -> dict[str, str]:
    metric, colon, mode = text.rpartition(":")
    if not colon or mode not in ("min", "max"):
        fail(f"--monitor needs METRIC:min or METRIC:max, not {text!r}, e.g. --monitor val_loss:min", USAGE)
    return {"metric": metric, "mode": mode}


def _data(text: str) -> tuple[str, str]:
    name, equals, reference = text.partition("=")
    if not equals or not name or not reference:
        fail(f"--data needs NAME=DATA, not {text!r}, e.g. --data train=photos; `baton data list` shows DATA", USAGE)
    return name, reference


def _name(options: ProgramOptions) -> str:
    """A name for the job: that of the folder with the code, or of the program."""
    source = Path(words_of(options.command or "x")[0]) if options.code is None else options.code.expanduser().resolve()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", source.name).strip("-._")[:100] or "program"
