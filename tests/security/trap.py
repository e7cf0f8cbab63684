"""What a planted message names: being imported or called leaves a file, whose name is in the environment."""

from __future__ import annotations

import os
from pathlib import Path


def spring(*_: object) -> None:
    Path(os.environ["BATON_TRAP"]).touch()


if "BATON_TRAP" in os.environ:
    spring()
