"""`python -m tests.support.killed_script SCRIPT`: runs a script that dies before its file operation KILL_AT."""

from __future__ import annotations

import os
import runpy
import sys

from tests.support.killed_program import die_before

if __name__ == "__main__":
    if "KILL_AT" in os.environ:
        die_before(int(os.environ["KILL_AT"]))
    runpy.run_path(sys.argv[1], run_name="__main__")
