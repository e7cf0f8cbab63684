"""What a training process printed, as records of the worker's log."""

from __future__ import annotations

import logging

LOGGER = "worker.attempt"


def as_records(formatter: logging.Formatter, text: bytes) -> bytes:
    """Each line that is not empty, in the formatter's form; what its level was nobody knows."""
    lines = filter(None, map(str.rstrip, text.decode(errors="replace").splitlines()))
    made = (logging.LogRecord(LOGGER, logging.INFO, "", 0, line, None, None) for line in lines)
    return b"".join(formatter.format(record).encode(errors="replace") + b"\n" for record in made)
