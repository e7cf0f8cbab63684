"""`python -m tests.support.talking_worker`: `python -m worker` whose training processes print a line in each step."""

from __future__ import annotations

import sys

from worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main("tests.support.talking_process"))
