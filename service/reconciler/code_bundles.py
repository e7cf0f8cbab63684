"""Deletes code bundles that no job names. service.reconciler.pushed_data deletes their objects after that."""

from __future__ import annotations

from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.reconciler.isolation import CONDUCTOR, Isolation, Item, ready
from service.reconciler.store_pass import BATCH
from service.usecases import code_bundles

EXPIRE = "expire_code_bundle"


def expire(database: Database, isolation: Isolation) -> None:
    """Delete bundles that no job names, a day after their last use."""
    with database.write() as session:
        code_bundles.touch_named(Unit(session))
    with database.read() as session:
        unit = Unit(session)
        due = [Item(item) for item in code_bundles.unused(unit, ready(EXPIRE, code_bundles.ITEM), BATCH)]

    def act(item: str) -> None:
        with database.write() as session:
            code_bundles.expire(Unit(session), item, CONDUCTOR)

    isolation.each(EXPIRE, due, act)
