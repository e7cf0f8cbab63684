"""Liveness of the worker for external monitoring: a file that the main thread touches regularly."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

BEAT_SECONDS = 5.0
log = logging.getLogger(__name__)


class LivenessFile:
    """Touches a file at most once every BEAT_SECONDS. Without a file it does nothing. Errors do not stop training."""

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._beaten, self._failed = file, -math.inf, False

    def beat(self) -> None:
        """Shows that the main thread is not stuck."""
        now = time.monotonic()
        if self._file is None or now - self._beaten < BEAT_SECONDS:
            return
        self._beaten = now
        try:
            self._file.touch()
        except OSError as error:
            if not self._failed:
                log.warning("cannot touch the liveness file (BATON_HEALTH_FILE): %s", error)
            self._failed = True
