"""The module that attack messages name.

When it is imported or called, it creates the file that the environment names.
"""

from __future__ import annotations

import os
from pathlib import Path


def spring(*_: object) -> None:
    Path(os.environ["BATON_TRAP"]).touch()


if "BATON_TRAP" in os.environ:
    spring()
