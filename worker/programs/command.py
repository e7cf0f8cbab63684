"""The command line of a program on this worker: of its bundle, with uv where the bundle needs it, or of a package."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason

GROUP = "baton.programs"
"""The entry point group of programs that are installed with a worker."""
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_INLINE = re.compile(r"(?m)^# /// script\s*$\r?\n(^#(| .*)$\r?\n)+^# ///\s*$")
"""The block of inline script metadata, as in PEP 723."""
_SCRIPT_BYTES = 64 << 10
_RUN = (
    "import sys; from importlib import import_module; from operator import attrgetter; "
    "sys.exit(attrgetter({attr!r})(import_module({module!r}))())"
)


def command_for(
    root: Path,
    command: Sequence[str],
    working_directory: str = ".",
    *,
    uv: str | None = None,
    python: str = sys.executable,
) -> list[str]:
    """The command line for a program of a bundle. Looks at the files in `root`, and runs nothing.

    `root`: the folder of the bundle. `working_directory`: where the command starts, below `root`. `uv`: the path of uv;
    None: it is not installed. `python`: the interpreter for `python` without uv.

    With uv, a script with inline metadata (PEP 723) runs in an environment of its own, and any other command in the
    environment of the nearest project: a folder with `uv.lock`, or with a `pyproject.toml` that has a table `project`.
    A command that names its program by a path, such as `/usr/bin/python3`, and uv itself, are left as they are.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> command_for(root, ["python", "train.py"], uv="/bin/uv", python="/opt/venv/bin/python")
    ['/opt/venv/bin/python', 'train.py']
    >>> _ = (root / "uv.lock").write_text("version = 1")
    >>> command_for(root, ["python", "train.py"], uv="/bin/uv")[:3]
    ['/bin/uv', 'run', '--project']
    """
    start = root / working_directory
    script = _script(start, command)
    if uv is not None and script is not None and _has_inline_metadata(start / command[script]):
        return [uv, "run", "--no-project", "--script", *command[script:]]
    if uv is not None and "/" not in command[0] and command[0] not in ("uv", "uvx"):
        project = _project(root, start)
        if project is not None:
            frozen = ["--frozen"] if (project / "uv.lock").is_file() else []
            return [uv, "run", "--project", str(project), *frozen, "--", *command]
    return [python, *command[1:]] if command[0] in ("python", "python3") else list(command)


def command_of_package(command: Sequence[str], *, python: str = sys.executable) -> list[str]:
    """The command line for a program without a bundle: an entry point of `baton.programs`, or what is on the PATH.

    Raises:
        JobFailure: unsupported, if the worker has no such program; it names those that are installed.

    >>> command_of_package(["python", "-m", "trainings.finetune"], python="/opt/venv/bin/python")
    ['/opt/venv/bin/python', '-m', 'trainings.finetune']
    """
    name, *arguments = command
    if (point := installed().get(name)) is not None:
        run = _RUN.format(attr=point.attr, module=point.module) if point.attr else None
        return [python, "-c", run, *arguments] if run else [python, "-m", point.module, *arguments]
    if name in ("python", "python3"):
        return [python, *arguments]
    if shutil.which(name) is None:
        known = f"; its programs: {', '.join(sorted(installed()))}" if installed() else ""
        text = f"program.command: {name!r} is neither an entry point of {GROUP} nor a command of this worker{known}"
        raise JobFailure(Reason.UNSUPPORTED, f"{text}; install it on the workers, or submit the job with --code")
    return list(command)


def installed() -> dict[str, EntryPoint]:
    """The programs that are installed with this worker, by name. Does not load them."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.value)}


def _script(start: Path, command: Sequence[str]) -> int | None:
    """The index of the script that the command runs. None if it runs none that is a Python file."""
    first = next((index for index, one in enumerate(command) if not (index == 0 and _PYTHON.fullmatch(one))), None)
    if first is not None and command[first] == "-u":  # the worker sets PYTHONUNBUFFERED
        first += 1
    if first is None or first >= len(command) or not command[first].endswith(".py"):
        return None
    return first if (start / command[first]).is_file() else None


def _has_inline_metadata(script: Path) -> bool:
    with script.open("rb") as file:
        return _INLINE.search(file.read(_SCRIPT_BYTES).decode("utf-8", "replace")) is not None


def _project(root: Path, start: Path) -> Path | None:
    """The nearest folder from `start` up to `root` with a project for uv."""
    for folder in (start, *start.parents):
        if not folder.is_relative_to(root):
            return None
        if (folder / "uv.lock").is_file() or _is_project(folder / "pyproject.toml"):
            return folder
    return None


def _is_project(file: Path) -> bool:
    try:
        return "project" in tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):  # a broken file is no project: the program itself may not need it
        return False
