"""The names of a job's files for users. Without dependencies, because training programs import it too."""

from __future__ import annotations

import re

ARTIFACT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""The form of a name, such as `best.keras`."""

RESERVED_NAMES = frozenset({"checkpoints", "versions", "logs", "programs", "uploads"})
"""An artifact cannot have one of these names: they are folders next to a job's artifacts."""

_FORM = re.compile(ARTIFACT_NAME)


def is_artifact_name(name: str) -> bool:
    r"""Whether a file can be published under this name.

    >>> is_artifact_name("best.keras"), is_artifact_name("a/b"), is_artifact_name("logs"), is_artifact_name("a\n")
    (True, False, False, False)
    """
    return _FORM.fullmatch(name) is not None and name not in RESERVED_NAMES
