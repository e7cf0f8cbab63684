"""Aliases of tables that several threads use."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import inspect, select

from service.db.aliases import shared_alias
from service.db.tables import Attempt

THREADS, ROUNDS = 4, 60


@pytest.fixture
def _switches_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_switches_often")
def test_threads_that_use_it_first_at_the_same_time_get_its_columns() -> None:
    """With `sqlalchemy.orm.aliased`, about one round in ten leaves the alias with columns of the table."""
    for _ in range(ROUNDS):
        together = threading.Barrier(THREADS)
        with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as threads:
            warnings.simplefilter("ignore")
            statements = [*threads.map(statement, [shared_alias(Attempt)] * THREADS, [together] * THREADS)]
        assert len({*statements}) == 1
        assert "attempts." not in statements[0]


def statement(alias: type[Attempt], together: threading.Barrier) -> str:
    together.wait()
    return str(select(*(getattr(alias, one.key) for one in inspect(Attempt).column_attrs)))
