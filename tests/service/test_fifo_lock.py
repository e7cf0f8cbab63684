"""A lock whose waiters are served one at a time, in the order of their arrival."""

from __future__ import annotations

import threading

import pytest

from service.db.fifo_lock import FifoLock
from tests.service.helpers import eventually


def arrive(turns: FifoLock, name: int, served: list[int], inside: list[int]) -> threading.Thread:
    def run() -> None:
        with turns.turn():
            inside.append(name)
            assert len(inside) == 1
            served.append(name)
            inside.remove(name)

    before = len(turns._waiting)
    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: len(turns._waiting) > before)
    return thread


def test_served_in_the_order_of_arrival() -> None:
    turns = FifoLock()
    served: list[int] = []
    inside: list[int] = []
    with turns.turn():
        threads = [arrive(turns, n, served, inside) for n in range(20)]
        assert served == []
    for thread in threads:
        thread.join(60)
    assert served == list(range(20))
    with turns.turn():
        pass


def test_an_error_hands_the_turn_on() -> None:
    turns = FifoLock()
    with pytest.raises(ValueError, match="inside"), turns.turn():
        raise ValueError("inside")
    with turns.turn():
        pass
