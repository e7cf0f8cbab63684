"""What a worker tells its training process over its standard input: lines of JSON, written and read here alone."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from queue import SimpleQueue

from worker.preemption.deadline import Deadline
from worker.preemption.notice import Notice, NoticeDetails

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """An attempt to be claimed and trained, and when the session ends."""

    attempt_id: str
    deadline: Deadline


def order_line(attempt_id: str, deadline: Deadline | None = None) -> str:
    """The line that hands an attempt over."""
    until = None if deadline is None or math.isinf(deadline.ends_at) else deadline.ends_at
    return json.dumps({"attempt_id": attempt_id, "ends_at": until, "deadline": deadline.text if deadline else ""})


def notice_line(word: NoticeDetails) -> str:
    """The line that hands a preemption notice on."""
    return json.dumps({"notice": word.dump()})


def read_orders(lines: Iterable[str], notice: Notice, grace: float) -> SimpleQueue[Order]:
    """The attempts, as they come; notices go where they belong at once.

    The end of the lines is the end of the worker, and of this process; so is a line that makes no sense.
    """
    orders: SimpleQueue[Order] = SimpleQueue()

    def read() -> None:
        try:
            for line in lines:
                _take(json.loads(line), orders, notice, grace)
        except Exception:
            log.exception("the worker said what makes no sense here: is it of another version?")
        os._exit(1)

    threading.Thread(target=read, name="orders", daemon=True).start()
    return orders


def _take(said: dict[str, object], orders: SimpleQueue[Order], notice: Notice, grace: float) -> None:
    match said:
        case {"notice": dict(word)}:
            notice.take(NoticeDetails(**word))
        case {"attempt_id": str(attempt_id), "ends_at": None}:
            orders.put(Order(attempt_id, Deadline(grace=grace)))
        case {"attempt_id": str(attempt_id), "ends_at": float(ends_at), "deadline": str(text)}:
            orders.put(Order(attempt_id, Deadline(text, ends_at, grace)))
        case _:
            raise ValueError(f"neither an attempt nor a notice: {said}")
