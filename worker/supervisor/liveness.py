"""A sign of life for whoever watches a worker from outside: a file that its main thread touches again and again."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

BEAT_SECONDS = 5.0
log = logging.getLogger(__name__)


class LivenessFile:
    """Touches a file at most every BEAT_SECONDS; without one it does nothing. A disk that is full ends no training."""

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._beaten, self._failed = file, -math.inf, False

    def beat(self) -> None:
        """The main thread is not stuck."""
        now = time.monotonic()
        if self._file is None or now - self._beaten < BEAT_SECONDS:
            return
        self._beaten = now
        try:
            self._file.touch()
        except OSError as error:
            if not self._failed:
                log.warning("no sign of life can be given (BATON_HEALTH_FILE): %s", error)
            self._failed = True
