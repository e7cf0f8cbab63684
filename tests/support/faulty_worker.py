"""`python -m tests.support.faulty_worker`: a worker whose processes of programs are killed at named points."""

from __future__ import annotations

import sys

from tests.support import faulty_runner
from worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main(faulty_runner.__name__))
