"""`python -m worker`: waits for attempts and runs them, one at a time."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import threading
import time
import uuid

import redis
from pydantic import ValidationError

from core.domain.queues import rq_queues
from core.domain.wire import WorkerReport
from worker.process import TRAINER
from worker.protocol import Refused, ServiceClient, ServiceUnavailable
from worker.rq_worker import BatonWorker, listen
from worker.settings import VERSION, WorkerSettings

REPORT_SECONDS = 10.0
RECONNECT_SECONDS = 1.0
log = logging.getLogger("worker")


def main(module: str = TRAINER) -> int:
    """Exit status 0 after a clean stop, 2 for wrong settings. `module`: what the training processes run."""
    options = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = _settings()
    if settings is None:
        return 2
    return _work(settings, options.queue or ["default"], options.once, module)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="baton worker", description="Runs training jobs, one at a time.")
    parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to serve (default: default)")
    parser.add_argument("--once", action="store_true", help="end after one attempt")
    return parser.parse_args()


def _settings() -> WorkerSettings | None:
    try:
        return WorkerSettings()
    except ValidationError as error:
        for finding in error.errors():
            name = "BATON_" + "_".join(str(part) for part in finding["loc"]).upper()
            print(f"baton worker: set {name}: {finding['msg']}", file=sys.stderr)
        return None


def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_keepalive=True, health_check_interval=30)


def _work(settings: WorkerSettings, queues: list[str], once: bool, module: str) -> int:
    client = ServiceClient(settings.url, settings.token)
    busy = threading.Event()
    _report_in_background(client, settings, tuple(queues), busy)
    while True:
        ended = _serve(settings, client, queues, busy, once=once, module=module)
        if ended:
            return 0
        time.sleep(RECONNECT_SECONDS)


def _serve(
    settings: WorkerSettings,
    client: ServiceClient,
    queues: list[str],
    busy: threading.Event,
    *,
    once: bool,
    module: str,
) -> bool:
    """Whether the worker was asked to end; False after a loss of Redis."""
    connection = _connect(settings.redis_url)
    name = f"{settings.worker_name}-{uuid.uuid4().hex[:8]}"
    worker = None
    try:
        worker = BatonWorker(
            listen(rq_queues(queues), connection),
            client,
            busy=busy,
            grace=settings.grace,
            module=module,
            name=name,
            connection=connection,
        )
        worker.warm_up()
        worked = worker.work(logging_level="WARNING", max_jobs=1 if once else None)
        return bool(worker.stop_asked or (once and worked))
    except (redis.RedisError, OSError) as error:
        log.warning("Redis is away, trying again: %s", error)
        return worker is not None and worker.stop_asked
    finally:
        if worker is not None:
            worker.close()


def _report_in_background(
    client: ServiceClient, settings: WorkerSettings, queues: tuple[str, ...], busy: threading.Event
) -> None:
    def run() -> None:
        while True:
            try:
                client.report(_report(settings, queues, busy.is_set()))
            except (ServiceUnavailable, Refused) as error:
                log.warning("the service does not know of this worker: %s", error)
            time.sleep(REPORT_SECONDS)

    threading.Thread(target=run, name="report", daemon=True).start()


def _report(settings: WorkerSettings, queues: tuple[str, ...], busy: bool) -> WorkerReport:
    return WorkerReport(
        name=settings.worker_name, host=socket.gethostname(), pid=os.getpid(), version=VERSION, queues=queues, busy=busy
    )


if __name__ == "__main__":
    sys.exit(main())
