"""The environment of a program: that of the worker without its secrets and settings."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from baton.program import protocol
from baton.program.protocol import SECRET_VARIABLE, SOCKET_VARIABLE

SECRET = re.compile(
    r"SECRET|TOKEN(?!IZ)|PASSW|CREDENTIAL|PRIVATE|(ACCESS|API|ACCOUNT|SAS|STORAGE)_?KEY|CONNECTION_STRING"
)
"""What occurs in the names of variables with secrets. A setting of the worker names those that programs get."""
NOT_PASSED = ("BATON_", "OTEL_", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME", "TMPDIR")
"""The beginnings of the names of variables that programs do not get: settings of the worker, and of its interpreter."""


def program_environment(
    worker: Mapping[str, str], program: Mapping[str, str], scratch: Path, socket: Path, secret: str
) -> dict[str, str]:
    """The environment of a program.

    `worker`: of the worker, without secrets. `program`: variables of the spec; they win. `scratch`: gets a folder for
    temporary files, and one with the package `baton` for any interpreter. `socket`, `secret`: of the worker's socket.
    """
    temporary, library = scratch / "tmp", scratch / "lib"
    for folder in (temporary, library):
        folder.mkdir(exist_ok=True)
    package = library / "baton"
    if not package.is_symlink():
        package.symlink_to(Path(protocol.__file__).resolve().parents[1], target_is_directory=True)
    # `python` is the interpreter of the worker, unless the spec sets another PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), worker.get("PATH", os.defpath)])
    found = {**worker, "PATH": path, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    found |= program
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(library), program.get("PYTHONPATH", "")]))
    return {**found, SOCKET_VARIABLE: str(socket), SECRET_VARIABLE: secret}


def without_secrets(environment: Mapping[str, str], passed: Collection[str] = ()) -> dict[str, str]:
    """The variables that a program gets. `passed`: names that it gets although they look like secrets.

    >>> without_secrets({"HOME": "/root", "BATON_TOKEN": "x", "HF_TOKEN": "x", "WANDB_API_KEY": "x"}, ["HF_TOKEN"])
    {'HOME': '/root', 'HF_TOKEN': 'x'}
    """
    return {name: value for name, value in environment.items() if name in passed or not _is_hidden(name)}


def _is_hidden(name: str) -> bool:
    return name.startswith(NOT_PASSED) or SECRET.search(name.upper()) is not None
