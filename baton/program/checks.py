"""Checks of what a program passes to its run. The errors name the argument."""

from __future__ import annotations

import json
import math
import operator
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.domain.metric_names import METRIC_NAME, SYSTEM, is_system
from baton.program.errors import ProgramError
from baton.program.protocol import MAX_CURSOR

MAX_STEP = 2**53
MAX_METRICS = 200
_METRIC = re.compile(METRIC_NAME)
_ARTIFACT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
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


def metrics(values: object, field: str = "metrics") -> dict[str, float]:
    """Metrics by name, each as `float`.

    >>> metrics({"loss": 1})
    {'loss': 1.0}
    """
    if not isinstance(values, Mapping):
        raise ProgramError(f"{field}: must be a dict of names and numbers, not {type(values).__name__}")
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
    except (TypeError, ValueError, RecursionError) as error:
        raise ProgramError(
            f"cursor: cannot be stored as JSON ({error}). Use dicts, lists, text, finite numbers and None, and write "
            "everything else into a file of the save"
        ) from None
    if len(text) > MAX_CURSOR:
        raise ProgramError(f"cursor: has {len(text)} bytes, at most {MAX_CURSOR} are allowed; write it into a file")
    copied: dict[str, Any] = json.loads(text)
    return copied


def _only_text_keys(value: object, path: str) -> None:
    # json.dumps turns other keys into text without an error, and the restored cursor would differ.
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str):
                raise ProgramError(f"{path}: the key {key!r} is not text, and JSON has only text as keys")
            _only_text_keys(one, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            _only_text_keys(one, f"{path}.{index}")


def artifact_name(name: object) -> str:
    """The name of a published file."""
    if not isinstance(name, str) or not _ARTIFACT.fullmatch(name):
        raise ProgramError(
            f"name: {name!r} is no name of a file to publish. A name has 1 to 100 letters, digits and _ . -, and "
            "begins with a letter or a digit"
        )
    return name


def saved_files(folder: Path) -> dict[str, int]:
    """The files of a save: path relative to the folder, with `/` -> bytes.

    Raises:
        ProgramError: something in the folder is neither a file nor a folder, such as a link.
    """
    found: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = path.relative_to(folder).as_posix()
        if stat.S_ISREG(status.st_mode):
            found[name] = status.st_size
        elif not stat.S_ISDIR(status.st_mode):
            raise ProgramError(f"the save contains {name}, which is not a regular file; write a copy of its content")
    return found
