"""Checks of what a program passes to its run. The errors name the argument."""

from __future__ import annotations

import json
import math
import operator
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.domain.artifact_names import RESERVED_NAMES, is_artifact_name
from baton.domain.metric_names import METRIC_NAME, SYSTEM, is_system
from baton.domain.program_limits import path_problem, too_many_epochs
from baton.program.errors import ProgramError
from baton.program.protocol import MAX_CURSOR

MAX_STEP = 2**53
MAX_METRICS = 200
MAX_NOTE = 20_000
MAX_DEPTH = 100
"""Objects and lists in each other in a cursor. Some readers of JSON allow no more than 128."""
_METRIC = re.compile(METRIC_NAME)
_KNOWN_NAMES: set[str] = set()


def count(value: object, field: str) -> int:
    """A whole number of at least 0, as `int`. NumPy's integers are accepted.

    >>> count(True, "step")
    Traceback (most recent call last):
    ...
    baton.program.errors.ProgramError: step: must be a whole number, not bool
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ProgramError(f"{field}: must be a whole number, not {type(value).__name__}") from None
    if not 0 <= number <= MAX_STEP:
        raise ProgramError(f"{field}: must be from 0 to 2**53, not {number}")
    return number


def epoch(value: object) -> int:
    """The number of a row of the history."""
    number = count(value, "epoch")
    if number < 1:
        raise ProgramError("epoch: rows count from 1: pass epoch=epoch + 1")
    if problem := too_many_epochs(number):
        raise ProgramError(f"epoch: {problem}")
    return number


def metric(name: object, value: object, field: str) -> tuple[str, float]:
    """One metric: its name, and its value as `float`. Accepts all that `float()` does, such as scalar tensors."""
    if name not in _KNOWN_NAMES:
        if not isinstance(name, str) or not _METRIC.fullmatch(name):
            raise ProgramError(
                f"{field}: {name!r} is no name of a metric. A name has 1 to 100 letters, digits and _ . / -, and "
                "begins with a letter or _"
            )
        if is_system(name):
            raise ProgramError(f"{field}: {name!r}: the worker records {SYSTEM}… itself: use another name")
        _KNOWN_NAMES.add(name)
    try:
        number = float(value)  # type: ignore[arg-type]
    except Exception as error:
        raise ProgramError(f"{field}.{name}: must be one number, not {type(value).__name__} ({error})") from None
    if not math.isfinite(number):
        raise ProgramError(
            f"{field}.{name}: is {number}. Metrics are finite numbers: leave the value out, or end the training"
        )
    return str(name), number


def mapping(value: object, field: str, what: str = "a dict") -> Mapping[Any, Any]:
    """A mapping."""
    if not isinstance(value, Mapping):
        raise ProgramError(f"{field}: must be {what}, not {type(value).__name__}")
    return value


def path(value: object, field: str) -> Path:
    """A path as text or as a path object.

    >>> path(None, "folder")
    Traceback (most recent call last):
    ...
    baton.program.errors.ProgramError: folder: must be a path, not NoneType
    """
    if not isinstance(value, str | os.PathLike):
        raise ProgramError(f"{field}: must be a path, not {type(value).__name__}")
    return Path(value)


def metrics(values: Mapping[str, Any], field: str = "metrics") -> dict[str, float]:
    """Metrics by name, each as `float`.

    >>> metrics({"loss": 1})
    {'loss': 1.0}
    """
    mapping(values, field, "a dict of names and numbers")
    if len(values) > MAX_METRICS:
        raise ProgramError(f"{field}: has {len(values)} names, at most {MAX_METRICS} are allowed")
    return dict(metric(name, value, field) for name, value in values.items())


def cursor(value: object) -> dict[str, Any]:
    """The cursor as it will be read again: a copy that went through JSON. Tuples become lists.

    >>> cursor({"order": (2, 0, 1)})
    {'order': [2, 0, 1]}
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ProgramError(f"cursor: must be a dict, not {type(value).__name__}")
    _only_text_keys(value, "cursor")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ProgramError(
            f"cursor: cannot be stored as JSON ({error}). Use dicts, lists, text, finite numbers and None, and write "
            "everything else into a file of the save"
        ) from None
    if len(text) > MAX_CURSOR:
        raise ProgramError(f"cursor: has {len(text)} bytes, at most {MAX_CURSOR} are allowed; write it into a file")
    copied: dict[str, Any] = json.loads(text)
    return copied


def _only_text_keys(value: object, path: str, depth: int = 0) -> None:
    # json.dumps turns other keys into text without an error, and the restored cursor would differ.
    if depth > MAX_DEPTH:
        raise ProgramError(
            f"cursor: has more than {MAX_DEPTH} dicts and lists in each other, or contains itself; write it into a "
            "file of the save"
        )
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str):
                raise ProgramError(f"{path}: the key {key!r} is not text, and JSON has only text as keys")
            _only_text_keys(one, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            _only_text_keys(one, f"{path}.{index}", depth + 1)


def artifact_name(name: object) -> str:
    """The name of a published file."""
    if isinstance(name, str) and name in RESERVED_NAMES:
        raise ProgramError(f"name: {name!r} is a folder beside the files of a job; use another name")
    if not isinstance(name, str) or not is_artifact_name(name):
        raise ProgramError(
            f"name: {name!r} is no name of a file to publish. A name has 1 to 100 letters, digits and _ . -, and "
            "begins with a letter or a digit"
        )
    return name


def saved_files(folder: Path) -> dict[str, int]:
    """The files of a save: path relative to the folder, with `/` -> bytes.

    Raises:
        ProgramError: the folder is not there, something in it is neither a file nor a folder, such as a link, or a
            name cannot be stored.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ProgramError(f"the folder of the save, {folder}, was deleted or replaced: write files into it only")
    found: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = path.relative_to(folder).as_posix()
        if problem := path_problem(name):
            raise ProgramError(f"the save contains {name[:200]!r}, a name that {problem}: use another name")
        if stat.S_ISREG(status.st_mode):
            found[name] = status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            raise ProgramError(f"the save contains {name}, which is not a regular file; write a copy of its content")
    return found
