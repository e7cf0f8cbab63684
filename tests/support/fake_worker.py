"""`python -m tests.support.fake_worker`: `python -m worker` whose training processes train in milliseconds."""

from __future__ import annotations

import sys

from worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main("tests.support.fake_process"))
