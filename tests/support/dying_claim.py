"""`python -m tests.support.dying_claim`: a training process that dies in each attempt.

If the attempt's id begins with "early", the process dies before the claim; with "late", after it gave the attempt
back. The job's name is the name of the attempt.
"""

from __future__ import annotations

import json
import os
import sys

from baton.system.parent_death import die_with_parent
from worker.ipc.messages import GivenBack, Held, Ready, message_line


def main() -> None:
    """Run one attempt."""
    die_with_parent(int(sys.argv[1]))
    report = int(sys.argv[2])
    os.write(report, message_line(Ready("cpu")))
    attempt = json.loads(sys.stdin.readline())["attempt_id"]
    if not attempt.startswith("early"):
        os.write(report, message_line(Held(attempt, 1, f"job of {attempt}", 1)))
    if attempt.startswith("late"):
        os.write(report, message_line(GivenBack(attempt, 1.0, 1.0, "failed", "bad_data")))
    os._exit(1)


if __name__ == "__main__":
    main()
