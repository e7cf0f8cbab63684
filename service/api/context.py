"""What a running service consists of, for those who only use it."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from baton.storage import BlobStore
from service.api.readiness import Readiness
from service.authn.authenticator import Gate
from service.db.engine import Database
from service.live.change_poller import Watch
from service.live.event_stream import Feed
from service.live.log_reader import LogReader
from service.live.status_cache import Statuses
from service.live.work_offers import Offers
from service.metrics.counters import Counters
from service.notifications.sender import Post
from service.reconciler.loop import Conductor
from service.settings import Settings
from service.store.identity import OwnStore
from service.store.report_checks import Looks
from service.usecases.notifications import Policy


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
