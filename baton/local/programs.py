"""Import paths for child processes, so that the service and the worker import Baton's packages and no others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import baton


def programs_folder() -> Path:
    """The folder that contains the packages `service`, `worker`, `models` and `migrations`.

    These names are common. An installation therefore has them in a separate folder outside of `sys.path`, where they
    cannot collide with the user's packages (docs/decisions/0039). In a checkout they are next to `baton`.
    """
    package = Path(baton.__file__).resolve().parent
    installed = package / "_programs"
    return installed if installed.is_dir() else package.parent


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process, in which it imports Baton's packages, not packages of the same names in the
    user's folder.
    """
    paths = [str(programs_folder()), *filter(None, [environment.get("PYTHONPATH")])]
    added = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    return {**environment, **added}
