"""`python -m tests.support.limited_worker`: a worker that runs programs, in the control group that MEMORY_GROUP names.

Without it, the file that OOM_COUNTER names stands for the kernel's counter.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support import limited_runner
from tests.support.memory_group import GROUP, enter
from worker.__main__ import main
from worker.supervisor.process import PROGRAM_RUNNER

if __name__ == "__main__":
    group = os.environ.get(GROUP)
    if group:
        enter(Path(group))
    sys.exit(main(PROGRAM_RUNNER if group else limited_runner.__name__))
