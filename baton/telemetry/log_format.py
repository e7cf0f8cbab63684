"""The log of a process on standard error: text lines for people, or one JSON object on each line."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from baton.telemetry import log_context
from baton.telemetry.redaction import Secrets

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# The attributes of every record. All other attributes of a record come from `extra`.
_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"})
log = logging.getLogger(__name__)


def lower(value: object) -> object:
    """Text in lower case, so that a setting accepts INFO as info."""
    return value.lower() if isinstance(value, str) else value


class TextLog(logging.Formatter):
    """Text lines. A line that belongs to a request contains the request's id."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__(TEXT)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """The line, with the traceback below it."""
        text, request = super().format(record), log_context.request_id()
        if request is not None:
            first, *rest = text.split("\n", 1)
            text = "\n".join([f"{first} [request {request}]", *rest])
        return self._secrets.hide(text)


class JsonLog(logging.Formatter):
    """JSON objects with ts, level, logger, message, context fields, `extra` fields, and `exception` (the traceback)."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """The object, in one line."""
        found = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **log_context.known(),
            **{name: value for name, value in vars(record).items() if name not in _OWN and value is not None},
        }
        if record.exc_info and record.exc_info[0] is not None:
            found["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            found["stack"] = record.stack_info
        return json.dumps(self._safe(found), ensure_ascii=False)

    def _safe(self, value: object) -> Any:
        if isinstance(value, dict):
            return {str(name): self._safe(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._safe(one) for one in value]
        plain = isinstance(value, int) or value is None or (isinstance(value, float) and abs(value) < float("inf"))
        return value if plain else self._secrets.hide(str(value))


def set_up(form: Format, level: Level, secrets: Secrets) -> logging.Formatter:
    """Sends all logs of this process to standard error. With JSON, also warnings and uncaught exceptions."""
    formatter = JsonLog(secrets) if form == "json" else TextLog(secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(max(logging.WARNING, logging.getLogger().level))
    if form == "json":
        logging.captureWarnings(True)
        sys.excepthook, threading.excepthook = _died, _thread_died
    return formatter


def _died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("the process ends because of an exception", exc_info=(kind, error, trace))


def _thread_died(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and not issubclass(found.exc_type, SystemExit):
        name = found.thread.name if found.thread else "?"
        log.error(
            "thread %s ended by an exception", name, exc_info=(found.exc_type, found.exc_value, found.exc_traceback)
        )
