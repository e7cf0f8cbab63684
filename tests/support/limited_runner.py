"""`python -m tests.support.limited_runner`: runs a program. A file stands for the kernel's counter of kills."""

from __future__ import annotations

import os
from pathlib import Path

from baton.system import oom
from tests.support.programs.misbehaving import COUNTER
from worker.attempt.process import serve
from worker.programs.process import programs

if __name__ == "__main__":
    vars(oom)["counters"] = lambda: iter([Path(os.environ[COUNTER])])
    serve(programs)
