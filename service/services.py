"""What a running service consists of, for those who only use it."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from core.storage import BlobStore
from service.access.gate import Gate
from service.checks import Readiness
from service.conductor.loop import Conductor
from service.control.notices import Policy
from service.db.engine import Database
from service.feed import Feed
from service.logs import LogReader
from service.looks import Looks
from service.metrics.counters import Counters
from service.notify.post import Post
from service.offers import Offers
from service.settings import Settings
from service.statuses import Statuses
from service.store_identity import OwnStore
from service.watch import Watch


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` put together.

    `leases` and `lease_gate`: the database and the gate over the connections of the LEASES lane (service.lanes).
    """

    settings: Settings
    database: Database
    leases: Database
    redis: Redis
    store: BlobStore
    statuses: Statuses
    watch: Watch
    feed: Feed
    logs: LogReader
    offers: Offers
    conductor: Conductor
    readiness: Readiness
    gate: Gate
    lease_gate: Gate
    counters: Counters
    post: Post
    policy: Policy
    own_store: OwnStore
    looks: Looks

    def let_go(self) -> None:
        """Let all who wait for an answer go, because the service ends. May be called from a signal handler."""
        self.watch.close()
        self.offers.close()
