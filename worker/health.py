"""`python -m worker.health`: whether the worker on this machine is alive, for container engines and Kubernetes.

It looks at the file that the worker's main thread touches, whatever it does: waits for work, for its training process,
for a service or a Redis that is away. It imports nothing but the standard library, so it may be asked often.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

STALE_SECONDS = 300.0
"""Longer than the longest wait for an answer: a connection into the void takes the kernel over two minutes."""


def main(environment: dict[str, str] | os._Environ[str] = os.environ) -> int:
    """Exit status 0 if the file is fresh, 1 if it is not or there is none, 2 if none is named."""
    name = environment.get("BATON_HEALTH_FILE")
    if not name:
        return _say("set BATON_HEALTH_FILE to the file that the worker got", 2)
    try:
        age = time.time() - Path(name).stat().st_mtime
    except OSError as error:
        return _say(f"no sign of life: {error}", 1)
    if age > STALE_SECONDS:
        return _say(f"the last sign of life is {age:.0f} s old: the worker is stuck", 1)
    return 0


def _say(message: str, status: int) -> int:
    print(f"worker.health: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
