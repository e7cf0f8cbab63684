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
from service.conductor.loop import Conductor
from service.conductor.messages import Messages
from service.control.notices import INFO, Policy
from service.control.placing import LIMITS
from service.db.engine import Database, open_engine
from service.db.turns import Turns
from service.feed import Feed
from service.logs import LogReader
from service.metrics.counters import Counters
from service.metrics.scrape import Scrape
from service.notify.post import Post
from service.notify.targets import chosen, load_urls
from service.offers import Offers
from service.server import possible_connections
from service.services import Services
from service.settings import Settings
from service.statuses import Statuses
from service.watch import Watch
from service.web import pages

REDIS_SECONDS = 3.0
CONDUCTOR_CONNECTIONS = 8


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
        # FastAPI's own pages run scripts of a third party in the dashboard's origin.
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
        jobs,
        curves,
        events,
        logs,
        artifacts,
        report,
        attempts,
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
    info, heard, most = {INFO: policy, LIMITS: settings.limits}, counters.heard, settings.database_connections
    database = Database(open_engine(settings.database_url, connections=most), turns, heard, info)
    # Connections of its own: however many requests wait for one, leases are looked after and leadership is kept.
    apart = Database(open_engine(settings.database_url, connections=CONDUCTOR_CONNECTIONS), turns, heard, info)
    redis = Redis.from_url(
        settings.redis_url,
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 1),  # the conductor comes again anyway
    )
    store = open_store(settings.store)
    conductor = Conductor(settings, apart, Messages(redis), store, post, counters.item_failed)
    watch, offers = Watch(database), Offers(database, settings.limits)
    feed, logs = Feed(database, watch), LogReader(database, store, watch)
    statuses = Statuses(database, settings.limits)
    gate = _gate(settings, database)
    return Services(
        settings, database, redis, store, statuses, watch, feed, logs, offers, conductor, gate, counters, post, policy
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
    services.conductor.start()
    telling = asyncio.create_task(_tell_failures(services.gate))
    yield
    services.let_go()
    telling.cancel()
    await run_in_threadpool(services.gate.audit_failures)
    services.conductor.stop()
    services.redis.close()
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
