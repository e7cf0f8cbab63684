"""`python -m worker.health`: whether the worker on this machine is alive, for container engines and Kubernetes.

It checks the age of the liveness file. The worker's main thread touches this file in every state: while it waits for
work, for its training process, or for an unavailable service or Redis. The module imports only the standard library,
so that a frequent check is cheap.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

STALE_SECONDS = 300.0
"""Longer than the longest wait for an answer: a connection attempt can take more than two minutes before it fails."""


def main(environment: dict[str, str] | os._Environ[str] = os.environ) -> int:
    """Exit status 0 if the file is fresh, 1 if it is old or missing, 2 if BATON_HEALTH_FILE is not set."""
    name = environment.get("BATON_HEALTH_FILE")
    if not name:
        return _say("set BATON_HEALTH_FILE to the same file as for the worker", 2)
    try:
        age = time.time() - Path(name).stat().st_mtime
    except OSError as error:
        return _say(f"no liveness file: {error}", 1)
    if age > STALE_SECONDS:
        return _say(f"the liveness file is {age:.0f} s old: the worker is stuck", 1)
    return 0


def _say(message: str, status: int) -> int:
    print(f"worker.health: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
