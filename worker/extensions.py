"""What is installed beside this worker: Python entry points, which a spec names and only a worker loads."""

from __future__ import annotations

import logging
import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from baton.domain.errors import JobFailure
from baton.domain.extensions import KINDS, NAME, Kind, extension
from baton.domain.policies import Reason

GROUPS: dict[Kind, str] = {kind: f"baton.{kind}s" for kind in KINDS}
"""baton.networks, baton.datasets, baton.augmentations."""

log = logging.getLogger(__name__)


@cache
def installed() -> dict[str, EntryPoint]:
    """All of them by the names that workers and service use; none is loaded."""
    found: dict[str, EntryPoint] = {}
    for kind, group in GROUPS.items():
        for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
            _take(found, kind, point)
    return found


def _take(found: dict[str, EntryPoint], kind: Kind, point: EntryPoint) -> None:
    name = extension(kind, point.name)
    if not re.fullmatch(NAME, point.name):
        log.warning("entry point %s of %s is left out: its name must match %s", point.name, point.group, NAME)
    elif name in found and found[name].value != point.value:
        log.warning(
            "entry point %s of %s stands for %s and not for %s", point.name, point.group, found[name].value, point.value
        )
    else:
        found[name] = point


def load(kind: Kind, name: str) -> Any:
    """What an entry point stands for. Raises JobFailure: unsupported, with what its import says."""
    point = installed().get(extension(kind, name))
    if point is None:
        raise JobFailure(Reason.UNSUPPORTED, f"{kind} {name} is not installed beside this worker")
    try:
        return point.load()
    except Exception as error:  # it is a user's own code
        text = f"{kind} {name} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        raise JobFailure(Reason.UNSUPPORTED, text) from error
