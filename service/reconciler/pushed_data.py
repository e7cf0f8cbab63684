"""Deletes objects of pushed data and code that no version, no bundle and no job needs.

service.usecases.data_objects explains why this is safe while a push is under way.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain

from baton.domain.code_bundle import CODE
from baton.domain.data_manifest import DATA
from baton.storage import BlobStore
from service.db.data_tables import DataObject
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.reconciler.isolation import CONDUCTOR, Isolation, Item, ready
from service.reconciler.store_pass import BATCH, Pass
from service.reconciler.store_pool import StorePool, Tick
from service.usecases import data_objects, pushed_data
from service.usecases.data_objects import CHUNK, TAKE_OVER

COLLECT, EXPIRE = "delete_pushed_data", "expire_pushed_data"
_FORM = re.compile(rf"{DATA}/(manifests|packs)/[0-9a-f]{{64}}|{CODE}/[0-9a-f]{{64}}\.tar")
CLEANERS = StorePool(8)


def expire(database: Database, keep: timedelta, isolation: Isolation) -> None:
    """Delete versions that no unfinished job needs and that were not used for the time `keep`."""
    with database.write() as session:
        pushed_data.touch_pinned(Unit(session))
    with database.read() as session:
        due = [Item(str(number)) for number in pushed_data.unused(Unit(session), keep, BATCH)]

    def act(number: str) -> None:
        with database.write() as session:
            pushed_data.expire(Unit(session), int(number), keep, CONDUCTOR)

    isolation.each(EXPIRE, due, act)


def collect(database: Database, store: BlobStore, isolation: Isolation) -> None:
    """Delete manifests without a version, packs without a manifest, and archives without a bundle, a day after their
    last use."""
    while _release(database):
        pass
    until: dict[str, float] = {}

    def find() -> list[Item]:
        at = time.monotonic()
        with database.write() as session:
            names = data_objects.doom(Unit(session), ready(COLLECT, DataObject.name), BATCH)
        until.update(dict.fromkeys(names, at + TAKE_OVER.total_seconds() / 2))
        return [Item(name) for name in names]

    def remove(name: str, tick: Tick) -> None:
        more = True
        while more:
            with database.write() as session:
                more = data_objects.let_go(Unit(session), name)
            tick()
        if time.monotonic() > until[name]:
            raise TimeoutError("this deletion began too long ago: another reconciler may have taken it over")
        store.delete(name)

    def mark(names: Sequence[str]) -> None:
        with database.write() as session:
            data_objects.forget(Unit(session), names)

    Pass(COLLECT, store, isolation, CLEANERS).run(find, remove, mark, BATCH)


def _release(database: Database) -> bool:
    with database.write_politely() as session:
        return data_objects.release_unneeded(Unit(session), CHUNK)


def adopt(database: Database, store: BlobStore, _isolation: Isolation) -> None:
    """Write rows for objects without one, so that they are used or deleted. A restored database may lack such rows."""
    found: dict[str, int] = {}
    for blob in chain(store.list(f"{DATA}/"), store.list(f"{CODE}/")):
        if _FORM.fullmatch(blob.name):
            found[blob.name] = blob.size
        if len(found) == CHUNK:
            _adopt(database, found)
            found = {}
    if found:
        _adopt(database, found)


def _adopt(database: Database, found: dict[str, int]) -> None:
    with database.read() as session:
        lacking = data_objects.without_row(Unit(session), found)
    if lacking:
        with database.write() as session:
            data_objects.adopt(Unit(session), {name: found[name] for name in lacking})
