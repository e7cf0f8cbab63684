"""The identity of the service's store: writes it, records it, compares it. Refuses workers that use another store."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from baton.domain.manifest import MANIFEST
from baton.domain.store_identity import IDENTITY, StoreIdentity, StoreRef, shown_url
from baton.storage import BlobStore, StoreError
from baton.storage.identity import read_identity, write_identity
from service.db.engine import Database
from service.db.operation_tables import KnownStore
from service.db.unit_of_work import Unit, new_id
from service.errors import Conflict, StoreInDoubt, StoreUnreachable, WrongStore
from service.usecases import known_stores

CHECK_SECONDS, RETRY_SECONDS = 60.0, 5.0
log = logging.getLogger(__name__)


class ServiceStore:
    """The identity of the service's store. A thread checks it repeatedly, also while the store is down.

    `id`: None until it is known. `doubt`: why the store may not be the one that the database's jobs need, and what to
    do. While there is a doubt, the service gives no work to workers. `replaces`: the identity of an old store whose
    objects the operator has abandoned.
    """

    def __init__(self, store: BlobStore, database: Database, replaces: str = "") -> None:
        self._store, self._database, self._replaces = store, database, replaces
        self.url = shown_url(store.url)
        self.id: str | None = None
        self.doubt: str | None = None
        self._failing: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self) -> None:
        """Start the checks. The service starts even if its store does not answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. A check that waits for the store is abandoned."""
        self._stopping.set()

    def refusal(self, worker: StoreRef | None) -> Conflict | None:
        """Why a worker with this store gets no work. None if it may get work, or does not report its store."""
        if worker is None or self.id is None or self.doubt:
            return None
        if worker.problem is not None:
            return StoreUnreachable(f"this worker cannot use its store {shown_url(worker.url)}: {worker.problem}")
        return None if worker.id == self.id else WrongStore(self._wrong(worker))

    def _wrong(self, worker: StoreRef) -> str:
        theirs = shown_url(worker.url)
        what = f"there is no Baton store at {theirs}" if worker.id is None else f"{theirs} is another store"
        same = ", as seen from that machine: mount the service's directory there, or use a bucket"
        hint = same if theirs == self.url else f": set BATON_STORE={self.url} for this worker"
        return f"{what}: the service uses {self.url}{hint}"

    def check_doubt(self) -> None:
        """Raise StoreInDoubt if the store may not be the one that the database's jobs need."""
        if self.doubt is not None:
            raise StoreInDoubt(self.doubt)

    def settle(self) -> None:
        """Read the store's identity, write one if the store has none, and save it in the database.

        Raises:
            StoreError: the store does not answer.
            SQLAlchemyError: the database does not answer.
        """
        found = read_identity(self._store)
        with self._database.read() as session:
            before = known_stores.last_used(Unit(session))
        if before is None:
            self._use(found or self._write(new_id()))
        elif found == before.id:
            self._use(found, known=before.url == self.url)
        else:
            self._compare(found, before)

    def _compare(self, found: str | None, before: KnownStore) -> None:
        """Handle an identity that is missing or differs from the database's. The objects show which one is right."""
        with self._database.read() as session:
            needed, newest = known_stores.prefixes_to_resume(Unit(session)), known_stores.newest_prefixes(Unit(session))
        prefixes = dict.fromkeys([*needed, *newest])
        here = any(self._store.stat(f"{prefix}/{MANIFEST}") is not None for prefix in prefixes)
        if here and found is None:
            self._use(self._write(before.id))
            log.warning("the identity of the store %s (%s) was missing: it was written again", self.url, IDENTITY)
        elif here or not needed or before.id == self._replaces:
            self._use(found or self._write(new_id()))
            log.warning("the store has changed from %s (identity %s) to %s", before.url, before.id, self.url)
        else:
            self._doubt(before)

    def _doubt(self, before: KnownStore) -> None:
        self.id = before.id
        doubt = (
            f"{self.url} is not the store that was used before ({before.url}, identity {before.id}), and holds none of "
            "the checkpoints that unfinished jobs need: no work is given out. Set BATON_STORE to the store that was "
            f"used before (is it mounted?), or copy its objects, {IDENTITY} among them, to this one. To give them up, "
            f"set BATON_STORE_REPLACES={before.id}: then those jobs fail with wrong_store"
        )
        if doubt != self.doubt:
            log.error("%s", doubt)
        self.doubt = doubt

    def _write(self, store_id: str) -> str:
        return write_identity(self._store, StoreIdentity(id=store_id, created_at=datetime.now(UTC)))

    def _use(self, store_id: str, *, known: bool = False) -> None:
        if not known:
            with self._database.write() as session:
                known_stores.use(Unit(session), store_id, self.url)
        if self.doubt:
            log.warning("the store %s is the expected one again", self.url)
        self.id, self.doubt = store_id, None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(CHECK_SECONDS if self._look() else RETRY_SECONDS)

    def _look(self) -> bool:
        try:
            self.settle()
        except Exception as error:
            if self._failing != type(error).__name__:
                log.warning("the identity of the store %s is not known yet: %s", self.url, error)
            self._failing = type(error).__name__
            if isinstance(error, StoreError) and self.id is None:
                self._take_as_before()
            return False
        self._failing = None
        return self.doubt is None

    def _take_as_before(self) -> None:
        """The store has been down since the start. Assume the store that had this URL before."""
        try:
            with self._database.read() as session:
                before = known_stores.last_used(Unit(session))
        except Exception as error:
            log.warning("cannot read which store was used before: %s", error)
            return
        if before is not None and before.url == self.url:
            self.id = before.id
