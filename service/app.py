"""The app factory. It creates all parts of the service and connects them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from baton.storage import open_store
from service.api import problems
from service.api.context import Services
from service.api.headers import SecurityHeaders, allow_origins
from service.api.metrics_collector import Scrape
from service.api.openapi_texts import TITLE
from service.api.readiness import Readiness, checks
from service.api.request_limits import BodyLimit, ShareLimit
from service.api.request_log import Requests
from service.api.tunnel_port import TunnelPort
from service.authn.authenticator import Authenticator
from service.authn.failed_logins import WINDOW_SECONDS, FailedLogins
from service.authn.project_access import ProjectAccess
from service.db.engine import Database, open_engine
from service.db.fifo_lock import FifoLock
from service.forwarded_headers import Forwarded
from service.http_server import possible_connections
from service.live.change_poller import ChangePoller
from service.live.event_stream import EventStream
from service.live.log_reader import LogReader
from service.live.status_cache import StatusCache
from service.live.work_offers import WorkOffers
from service.metrics.counters import Counters
from service.notifications.sender import Sender
from service.notifications.targets import chosen, load_urls
from service.principal import READERS, TUNNEL, WORKERS
from service.reconciler.loop import Reconciler
from service.reconciler.rq_dispatch import RqMessages
from service.root_path import RootPath
from service.routes import ROUTES, openapi_document
from service.settings import Settings
from service.store.attempt_objects import AttemptObjects
from service.store.code_bundles import CodeBundles
from service.store.identity import ServiceStore
from service.store.pushed_data import PushedData
from service.store.report_checks import ReportChecks
from service.usecases.notifications import INFO, Policy
from service.usecases.queue_order import LIMITS

REDIS_SECONDS = 3.0
CONDUCTOR_CONNECTIONS = 18
LEASES_SHARE = (2, 5)
"""Share of the request connections that is reserved for the LEASES lane."""


def create_app(settings: Settings) -> FastAPI:
    """The app. The database must be migrated. Raises StoreConfigError, SettingsError."""
    services = _services(settings)
    app = FastAPI(
        title=TITLE,
        version=_version(),
        # FastAPI's own pages are off, because they run third-party scripts in the dashboard's origin.
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    # No redirects: they would go to the host in the request's header, which can be forged.
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.scrape = Scrape(services)
    app.add_middleware(TunnelPort, port=settings.tunnel_port)
    app.add_middleware(BodyLimit, seconds=settings.slow_seconds)
    app.add_middleware(ShareLimit, connections=possible_connections(settings.connections))
    allow_origins(app, settings.cors_origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Requests, services.counters)
    if settings.prefix:
        app.add_middleware(RootPath, prefix=settings.prefix)
    app.add_middleware(Forwarded, trusted=settings.forwarded_allow_ips)
    problems.install(app)
    app.router.routes.extend(ROUTES)
    app.openapi = lambda: openapi_document(app.version)  # type: ignore[method-assign]  # FastAPI's documented way to change the document
    return app


def _services(settings: Settings) -> Services:
    turns, counters = FifoLock(), Counters(_version())
    post, policy = _notices(settings)
    info, most = {INFO: policy, LIMITS: settings.limits}, settings.database_connections
    # Separate connections: heartbeats, claims, lease expiry and leadership must not wait when all other connections
    # are busy.
    for_leases = max(1, most * LEASES_SHARE[0] // LEASES_SHARE[1])
    database, leases, apart = (
        Database(open_engine(settings.database_url, connections=number), turns, counters.heard, info)
        for number in (max(1, most - for_leases), for_leases, CONDUCTOR_CONNECTIONS)
    )
    redis = Redis.from_url(
        settings.redis_url,
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 1),  # the reconciler tries again in its next pass
    )
    store = open_store(settings.store)
    own = ServiceStore(store, database, settings.store_replaces)
    reconciler = Reconciler(settings, apart, RqMessages(redis), store, post, counters.item_failed, lambda: own.doubt)
    watch, offers = ChangePoller(database), WorkOffers(leases, settings.limits)
    feed, logs = EventStream(database, watch), LogReader(database, store, watch)
    statuses = StatusCache(database, settings.limits, settings.beats)
    authenticator = _authenticator(settings, database)
    return Services(
        settings=settings,
        database=database,
        leases=leases,
        redis=redis,
        store=store,
        statuses=statuses,
        watch=watch,
        feed=feed,
        logs=logs,
        offers=offers,
        reconciler=reconciler,
        readiness=Readiness(checks(leases, redis, store, lambda: own.doubt)),
        authenticator=authenticator,
        lease_authenticator=authenticator.on(leases),
        counters=counters,
        post=post,
        policy=policy,
        own_store=own,
        looks=ReportChecks(store, own),
        data=PushedData(store, database, own, settings.data_bytes),
        code=CodeBundles(store, database, own, settings.code_bytes),
        objects=AttemptObjects(store, database, own),
        access=ProjectAccess(database),
    )


def _authenticator(settings: Settings, database: Database) -> Authenticator:
    given = ((settings.work_token, WORKERS), (settings.read_token, READERS), (settings.tunnel_token, TUNNEL))
    machines = {secret.get_secret_value(): owner for secret, owner in given if secret is not None}
    failures = FailedLogins(settings.failed_logins)
    return Authenticator(database, settings.token.get_secret_value(), failures, machines=machines)


def _notices(settings: Settings) -> tuple[Sender, Policy]:
    """The sender of notifications, and the policy that each transaction applies."""
    urls = load_urls(settings)
    targets = chosen(settings, urls)
    policy = Policy(targets, settings.notify_on, settings.notify_recoveries, settings.public_url)
    return Sender(urls, settings.notify_timeout_seconds), policy


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.own_store.start()
    services.readiness.start()
    services.reconciler.start()
    telling = asyncio.create_task(_tell_failures(services.authenticator))
    yield
    services.let_go()
    telling.cancel()
    await run_in_threadpool(services.authenticator.audit_failures)
    services.own_store.stop()
    services.reconciler.stop()
    services.readiness.stop()
    services.redis.close()
    services.leases.close()
    services.database.close()


async def _tell_failures(authenticator: Authenticator) -> None:
    while True:
        await asyncio.sleep(WINDOW_SECONDS)
        await run_in_threadpool(authenticator.audit_failures)


def _version() -> str:
    try:
        return version("baton-train")
    except PackageNotFoundError:
        return "0"
