"""Orders of the supervisor to its training process: lines of JSON over standard input, written and read only here."""

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
    """An attempt to claim and train, and the end of the session. `claim_id`: of a claim to repeat; None: a new one."""

    attempt_id: str
    deadline: Deadline
    claim_id: str | None = None


def order_line(attempt_id: str, deadline: Deadline | None = None, claim_id: str | None = None) -> str:
    """The line that assigns an attempt."""
    until = None if deadline is None or math.isinf(deadline.ends_at) else deadline.ends_at
    order = {"attempt_id": attempt_id, "ends_at": until, "deadline": deadline.text if deadline else ""}
    return json.dumps(order | {"claim_id": claim_id})


def notice_line(details: NoticeDetails) -> str:
    """The line that forwards a preemption notice."""
    return json.dumps({"notice": details.dump()})


def read_orders(lines: Iterable[str], notice: Notice, grace: float) -> SimpleQueue[Order]:
    """A queue of the attempts in `lines`. Notices are passed to `notice` at once.

    The end of `lines` means that the worker has ended, so this process exits. It also exits after an unreadable line.
    """
    orders: SimpleQueue[Order] = SimpleQueue()

    def read() -> None:
        try:
            for line in lines:
                _take(json.loads(line), orders, notice, grace)
        except Exception:
            log.exception("cannot read an order of the worker: is it of another version?")
        os._exit(1)

    threading.Thread(target=read, name="orders", daemon=True).start()
    return orders


def _take(order: dict[str, object], orders: SimpleQueue[Order], notice: Notice, grace: float) -> None:
    match order:
        case {"notice": dict(details)}:
            notice.take(NoticeDetails(**details))
        case {"attempt_id": str(attempt_id), "ends_at": None, "claim_id": None | str() as claim_id}:
            orders.put(Order(attempt_id, Deadline(grace=grace), claim_id))
        case {
            "attempt_id": str(attempt_id),
            "ends_at": float(ends_at),
            "deadline": str(text),
            "claim_id": None | str() as claim_id,
        }:
            orders.put(Order(attempt_id, Deadline(text, ends_at, grace), claim_id))
        case _:
            raise ValueError(f"neither an attempt nor a notice: {order}")
