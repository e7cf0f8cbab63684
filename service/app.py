"""The app factory: the only place where the parts meet."""

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

from core.storage import open_store
from service.access.failures import WINDOW_SECONDS, FailedLogins
from service.access.gate import Gate
from service.access.principal import READERS, WORKERS
from service.api import (
    artifacts,
    attempts,
    audit,
    catalog,
    curves,
    docs,
    events,
    health,
    jobs,
    logs,
    metrics,
    notifications,
    problems,
    report,
    session,
    tokens,
)
from service.api.contract import DESCRIPTION, SUMMARY, operation_id, tag_descriptions
from service.api.forwarded import Forwarded
from service.api.headers import SecurityHeaders, allow_origins
from service.api.limits import BodyLimit, ShareLimit
from service.api.openapi import described
from service.api.requests import Requests
from service.checks import Readiness, checks
from service.conductor.loop import Conductor
from service.conductor.messages import Messages
from service.control.notices import INFO, Policy
from service.control.placing import LIMITS
from service.db.engine import Database, open_engine
from service.db.turns import Turns
from service.feed import Feed
from service.logs import LogReader
from service.looks import Looks
from service.metrics.counters import Counters
from service.metrics.scrape import Scrape
from service.notify.post import Post
from service.notify.targets import chosen, load_urls
from service.offers import Offers
from service.server import possible_connections
from service.services import Services
from service.settings import Settings
from service.statuses import Statuses
from service.store_identity import OwnStore
from service.watch import Watch
from service.web import pages

REDIS_SECONDS = 3.0
CONDUCTOR_CONNECTIONS = 14
LEASES_SHARE = (2, 5)
"""Share of the request connections that is reserved for the LEASES lane."""


def create_app(settings: Settings) -> FastAPI:
    """The service over a database that is migrated already. Raises StoreConfigError, SettingsError."""
    services = _services(settings)
    app = FastAPI(
        title="Baton",
        version=_version(),
        summary=SUMMARY,
        description=DESCRIPTION,
        openapi_tags=tag_descriptions(),
        generate_unique_id_function=operation_id,
        # FastAPI's own pages run third-party scripts in the dashboard's origin.
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    # Its redirect names whatever host the request named.
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.scrape = Scrape(services)
    app.add_middleware(BodyLimit, seconds=settings.slow_seconds)
    app.add_middleware(ShareLimit, connections=possible_connections(settings.connections))
    allow_origins(app, settings.cors_origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Requests, services.counters)
    app.add_middleware(Forwarded, trusted=settings.forwarded_allow_ips)
    problems.install(app)
    for part in (
        attempts,  # first: routes are tried in order, and most requests are heartbeats
        jobs,
        curves,
        events,
        logs,
        artifacts,
        report,
        catalog,
        notifications,
        tokens,
        session,
        audit,
        health,
        metrics,
        docs,
        pages,
    ):
        app.include_router(part.router)
    app.openapi = described(app)  # type: ignore[method-assign]  # FastAPI's documented way to change the document
    return app


def _services(settings: Settings) -> Services:
    turns, counters = Turns(), Counters(_version())
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
        retry=Retry(NoBackoff(), 1),  # the conductor comes again anyway
    )
    store = open_store(settings.store)
    own = OwnStore(store, database, settings.store_replaces)
    conductor = Conductor(settings, apart, Messages(redis), store, post, counters.item_failed, lambda: own.doubt)
    watch, offers = Watch(database), Offers(leases, settings.limits)
    feed, logs = Feed(database, watch), LogReader(database, store, watch)
    statuses = Statuses(database, settings.limits, settings.beats)
    gate = _gate(settings, database)
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
        conductor=conductor,
        readiness=Readiness(checks(leases, redis, store, lambda: own.doubt)),
        gate=gate,
        lease_gate=gate.on(leases),
        counters=counters,
        post=post,
        policy=policy,
        own_store=own,
        looks=Looks(store, own),
    )


def _gate(settings: Settings, database: Database) -> Gate:
    given = ((settings.work_token, WORKERS), (settings.read_token, READERS))
    machines = {secret.get_secret_value(): owner for secret, owner in given if secret is not None}
    failures = FailedLogins(settings.failed_logins)
    return Gate(database, settings.token.get_secret_value(), failures, machines=machines)


def _notices(settings: Settings) -> tuple[Post, Policy]:
    """The way to the targets, and what every transaction knows of them."""
    urls = load_urls(settings)
    targets = chosen(settings, urls)
    policy = Policy(targets, settings.notify_on, settings.notify_recoveries, settings.public_url)
    return Post(urls, settings.notify_timeout_seconds), policy


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.own_store.start()
    services.readiness.start()
    services.conductor.start()
    telling = asyncio.create_task(_tell_failures(services.gate))
    yield
    services.let_go()
    telling.cancel()
    await run_in_threadpool(services.gate.audit_failures)
    services.own_store.stop()
    services.conductor.stop()
    services.readiness.stop()
    services.redis.close()
    services.leases.close()
    services.database.close()


async def _tell_failures(gate: Gate) -> None:
    while True:
        await asyncio.sleep(WINDOW_SECONDS)
        await run_in_threadpool(gate.audit_failures)


def _version() -> str:
    try:
        return version("baton")
    except PackageNotFoundError:
        return "0"
