"""`python -m tests.support.light_worker`: a worker on a machine without TensorFlow, which runs programs only."""

from __future__ import annotations

import sys

from worker.__main__ import main
from worker.supervisor.process import PROGRAM_RUNNER

if __name__ == "__main__":
    sys.exit(main(PROGRAM_RUNNER))
