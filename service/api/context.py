"""The parts of a running service, for the routes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from redis import Redis

from baton.storage import BlobStore
from service.api.readiness import Readiness
from service.authn.authenticator import Authenticator
from service.authn.project_access import ProjectAccess
from service.db.engine import Database
from service.live.change_poller import ChangePoller
from service.live.event_stream import EventStream
from service.live.log_reader import LogReader
from service.live.status_cache import StatusCache
from service.live.work_offers import WorkOffers
from service.metrics.counters import Counters
from service.notifications.sender import Sender
from service.principal import Principal
from service.reconciler.loop import Reconciler
from service.settings import Settings
from service.store.attempt_objects import AttemptObjects
from service.store.code_bundles import CodeBundles
from service.store.identity import ServiceStore
from service.store.pushed_data import PushedData
from service.store.report_checks import ReportChecks
from service.usecases.notifications import Policy


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` created.

    `leases`, `lease_authenticator`: database and authenticator on the connections of the LEASES lane (service.lanes).
    `access`: checked for each route before it runs.
    """

    settings: Settings
    database: Database
    leases: Database
    redis: Redis
    store: BlobStore
    statuses: StatusCache
    watch: ChangePoller
    feed: EventStream
    logs: LogReader
    offers: WorkOffers
    reconciler: Reconciler
    readiness: Readiness
    authenticator: Authenticator
    lease_authenticator: Authenticator
    counters: Counters
    post: Sender
    policy: Policy
    own_store: ServiceStore
    looks: ReportChecks
    data: PushedData
    code: CodeBundles
    objects: AttemptObjects
    access: ProjectAccess

    def seen_by(self, caller: Principal) -> Services:
        """The same parts for a request of this caller: its transactions find only the things of its project."""
        if caller.project is None:
            return self
        found = {name: getattr(self, name).of_project(caller.project) for name in ("database", "leases")}
        return replace(self, **found)

    def let_go(self) -> None:
        """End all long polls and streams, because the service stops. May be called from a signal handler."""
        self.watch.close()
        self.offers.close()
