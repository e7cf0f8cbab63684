"""`python -m tests.support.dying_script SCRIPT`: runs a script of examples/programs that dies once in each process.

A worker keeps at most two saves that it has not committed. So after SAVES saves at least one is committed, and each
process makes progress. Steps are slow, so that the worker asks for so many saves in a short run.
"""

from __future__ import annotations

import itertools
import os
import runpy
import signal
import sys
import time
from typing import Any

import baton

SAVES = 4
STEP_SECONDS = 0.02

if __name__ == "__main__":
    saves, save, check = itertools.count(1), baton.Run.save, baton.Run.check

    def counted(self: baton.Run, **options: Any) -> Any:
        self.saves = next(saves)  # type: ignore[attr-defined]
        return save(self, **options)

    def dies(self: baton.Run) -> None:
        time.sleep(STEP_SECONDS)
        if getattr(self, "saves", 0) == SAVES:
            os.kill(os.getpid(), signal.SIGKILL)
        check(self)

    baton.Run.save, baton.Run.check = counted, dies  # type: ignore[method-assign]
    runpy.run_path(sys.argv[1], run_name="__main__")
