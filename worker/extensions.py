"""Extensions that are installed with this worker: Python entry points. A spec names them; only a worker loads them."""

from __future__ import annotations

import logging
import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from baton.domain.errors import JobFailure
from baton.domain.extensions import NAME, PACKAGE_KINDS, PackageKind, extension
from baton.domain.reasons import Reason

GROUPS: dict[PackageKind, str] = {kind: f"baton.{kind}s" for kind in PACKAGE_KINDS}
"""baton.networks, baton.datasets, baton.augmentations."""

log = logging.getLogger(__name__)


@cache
def installed() -> dict[str, EntryPoint]:
    """All entry points, by the names that workers and the service use. Does not load the entry points."""
    found: dict[str, EntryPoint] = {}
    for kind, group in GROUPS.items():
        for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
            name = extension(kind, point.name)
            if not re.fullmatch(NAME, point.name):
                log.warning("entry point %s of %s is ignored: its name must match %s", point.name, point.group, NAME)
            elif name in found and found[name].value != point.value:
                text = "entry point %s of %s is defined twice: %s is used, not %s"
                log.warning(text, point.name, point.group, found[name].value, point.value)
            else:
                found[name] = point
    return found


def load(kind: PackageKind, name: str) -> Any:
    """Imports an entry point and returns its object. Raises JobFailure (unsupported) with the error of the import."""
    point = installed().get(extension(kind, name))
    if point is None:
        raise JobFailure(Reason.UNSUPPORTED, f"{kind} {name} is not installed on this worker")
    try:
        return point.load()
    except Exception as error:  # user code may raise anything
        text = f"{kind} {name} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        raise JobFailure(Reason.UNSUPPORTED, text) from error
