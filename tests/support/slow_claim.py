"""`python -m tests.support.slow_claim`: a training process that refuses its first order and claims the second one
slowly.

In BATON_CLAIM_FOLDER it writes the file `ordered` when the second order came, claims once the file `gate` exists, and
then writes `claimed`. After a notice it gives the attempt back and writes `heard`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from baton.system.parent_death import die_with_parent
from worker.ipc.messages import GivenBack, Held, Message, NotHeld, Ready, message_line


def main() -> None:
    """Process orders until the input ends."""
    die_with_parent(int(sys.argv[1]))
    report, folder, orders = int(sys.argv[2]), Path(os.environ["BATON_CLAIM_FOLDER"]), 0

    def say(message: Message) -> None:
        os.write(report, message_line(message))

    say(Ready("cpu"))
    attempt = ""
    for line in sys.stdin:
        order = json.loads(line)
        if "notice" in order:
            (folder / "heard").write_text(order["notice"]["cause"])
            say(GivenBack(attempt, 1.0, 2.0, "preempted", "preempted"))
            return
        orders, attempt = orders + 1, order["attempt_id"]
        if orders == 1:
            say(NotHeld(attempt))
            continue
        (folder / "ordered").touch()
        while not (folder / "gate").exists():
            time.sleep(0.01)
        say(Held(attempt, 1, "j", 1))
        (folder / "claimed").touch()


if __name__ == "__main__":
    main()
