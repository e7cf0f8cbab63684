"""Starts Baton's own programs, the service and the worker, as processes that import Baton's packages and no others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import baton


def programs_folder() -> Path:
    """The folder that contains the packages `service`, `worker`, `models` and `migrations`.

    Their names are common. So an installed Baton keeps them in a folder of its own, outside of `sys.path`, where they
    cannot collide with packages of the user's (docs/decisions/0039). In a checkout they are beside `baton`.
    """
    package = Path(baton.__file__).resolve().parent
    installed = package / "_programs"
    return installed if installed.is_dir() else package.parent


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: it finds Baton's packages, and none of the same name in the user's folder."""
    paths = [str(programs_folder()), *filter(None, [environment.get("PYTHONPATH")])]
    added = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    return {**environment, **added}
