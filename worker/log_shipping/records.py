"""Formats the output of a training process as records of the worker's log."""

from __future__ import annotations

import logging

LOGGER = "worker.attempt"


def as_records(formatter: logging.Formatter, text: bytes) -> bytes:
    """Each non-empty line as a record. The original levels are unknown, so all records have the level info."""
    lines = filter(None, map(str.rstrip, text.decode(errors="replace").splitlines()))
    made = (logging.LogRecord(LOGGER, logging.INFO, "", 0, line, None, None) for line in lines)
    return b"".join(formatter.format(record).encode(errors="replace") + b"\n" for record in made)
