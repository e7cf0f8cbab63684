"""`python -m tests.support.dying_script SCRIPT`: runs a script of examples/programs that dies in its first attempts.

A worker keeps at most two saves that it has not committed. So after SAVES saves at least one is committed, and each
process makes progress. The script saves at every second step, whether the worker asks for it or not.
"""

from __future__ import annotations

import itertools
import os
import runpy
import signal
import sys
from typing import Any

import baton

SAVES, DEATHS = 4, 2

if __name__ == "__main__":
    steps, saves = itertools.count(1), itertools.count(1)
    save, in_background, check = baton.Run.save, baton.Run.save_in_background, baton.Run.check

    def counted(self: baton.Run, **options: Any) -> Any:
        self.saves = next(saves)  # type: ignore[attr-defined]
        return in_background(self, **options) if "write" in options else save(self, **options)

    def due(_run: baton.Run) -> bool:
        return next(steps) % 2 == 0

    def dies(self: baton.Run) -> None:
        if self.attempt <= DEATHS and getattr(self, "saves", 0) == SAVES:
            os.kill(os.getpid(), signal.SIGKILL)
        check(self)

    baton.Run.save, baton.Run.save_in_background = counted, counted  # type: ignore[method-assign]
    baton.Run.save_due, baton.Run.check = due, dies  # type: ignore[method-assign]
    runpy.run_path(sys.argv[1], run_name="__main__")
