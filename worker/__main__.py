"""`python -m worker`: gets attempts and runs them, one at a time."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec

from pydantic import ValidationError

from baton.domain.store_identity import WRONG_STORE
from baton.storage import StoreError, open_store
from baton.system.process_memory import hide_memory
from baton.telemetry import log_context
from baton.telemetry.log_format import set_up
from worker.api_client.client import Refused, ServiceClient
from worker.log_shipping.shipper import Logs
from worker.preemption.deadline import Deadline, process_started, read_deadline
from worker.preemption.time_limit import read_limit
from worker.settings import WorkerSettings
from worker.store_access.granted import store_of_log
from worker.store_access.own_store import WorkerStore
from worker.supervisor.liveness import LivenessFile
from worker.supervisor.process import PROGRAM_RUNNER, TRAINER
from worker.supervisor.registration import Registration
from worker.supervisor.shutdown import watch_for_end
from worker.supervisor.supervisor import Supervisor

DONE, USAGE, REFUSED = 0, 2, 4
HINTS = {
    401: "Set BATON_TOKEN to a valid token of this service.",
    403: "Set BATON_TOKEN to a token with the scope work.",
    404: "This service is too old to give work over HTTP. Set BATON_REDIS_URL to its Redis.",
}


def main(module: str = TRAINER) -> int:
    """Exit status: 0 after a clean stop; 2 for wrong settings; 4 if the service refuses this worker, because its token
    is wrong or BATON_STORE is not the service's store. An orchestrator may restart the worker in all cases.

    `module`: the module that the training processes run.
    """
    options = _arguments()
    if options.programs:
        os.environ["BATON_PROGRAMS"] = "true"  # training processes read it too
    settings = _settings()
    if settings is None:
        return USAGE
    formatter = set_up(settings.log_format, settings.log_level, settings.secrets)
    log_context.for_process(worker=settings.worker_name)
    # Training processes use the same name, because the service counts them and their supervisor as one worker.
    os.environ["BATON_WORKER_NAME"] = settings.worker_name
    if settings.programs:
        hide_memory()
        if module == TRAINER and (settings.programs_only or find_spec("tensorflow") is None):
            module = PROGRAM_RUNNER
        if module == PROGRAM_RUNNER:
            os.environ["BATON_PROGRAMS_ONLY"] = "true"
            settings = settings.model_copy(update={"programs_only": True})
    try:
        deadline, idle = _limits(options, settings)
        store = WorkerStore(open_store(settings.own_store)) if settings.own_store else None
    except (ValueError, StoreError) as error:
        print(f"baton worker: {error}", file=sys.stderr)
        return USAGE
    if store is not None:
        store.start()
    queues = options.queue or ["default"]
    client = ServiceClient(settings.url, settings.token, settings.worker_name)
    logs = Logs(settings.own_store, granted=lambda held: store_of_log(held, client))
    liveness = LivenessFile(settings.health_file)
    if settings.log_format == "json":
        logs.shown_as(formatter)
    liveness.beat()
    supervisor = Supervisor(
        client,
        grace=settings.grace,
        logs=logs,
        module=module,
        deadline=deadline,
        liveness=liveness,
        store=store,
        program_module=PROGRAM_RUNNER if settings.programs else None,
    )
    with supervisor:
        with watch_for_end(supervisor, deadline, settings.notices, idle) as retire:
            registration = Registration(client, settings, queues, retire, store)
            registration.start(supervisor)
            work = _poll if options.poll or not settings.redis_url else _listen_to_redis
            status = work(settings, client, supervisor, queues, once=options.once)
            registration.end(supervisor)
        return _report_refusal(settings, registration.refusal) if registration.refusal and status == DONE else status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="baton worker", description="Runs training jobs, one at a time.")
    parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to serve (default: default)")
    parser.add_argument("--poll", action="store_true", help="ask the service for work over HTTP, not BATON_REDIS_URL")
    parser.add_argument("--once", action="store_true", help="end after one attempt")
    parser.add_argument("--programs", action="store_true", help="also run programs: code of users")
    parser.add_argument("--deadline", metavar="T", help="length of this session, such as 11h30m; hands over in time")
    parser.add_argument("--idle", metavar="T", help="end after this time without work, such as 10m")
    return parser.parse_args()


def _limits(options: argparse.Namespace, settings: WorkerSettings) -> tuple[Deadline, float]:
    """The end of the session, and the seconds without work after which the worker ends. Raises ValueError."""
    try:
        option = "--deadline (BATON_DEADLINE)"
        deadline = read_deadline(options.deadline or settings.deadline, os.environ, process_started(), settings.grace)
        option = "--idle (BATON_IDLE)"
        return deadline, read_limit(options.idle or settings.idle)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def _settings() -> WorkerSettings | None:
    try:
        return WorkerSettings()
    except ValidationError as error:
        for finding in error.errors():
            name = "BATON_" + "_".join(str(part) for part in finding["loc"]).upper()
            print(f"baton worker: set {name}: {finding['msg']}", file=sys.stderr)
        return None


def _listen_to_redis(
    settings: WorkerSettings, _client: ServiceClient, supervisor: Supervisor, queues: list[str], *, once: bool
) -> int:
    from worker.supervisor.rq_source import work  # a polling worker needs neither RQ nor Redis

    work(settings, supervisor, queues, once=once)
    return DONE


def _poll(
    settings: WorkerSettings, client: ServiceClient, supervisor: Supervisor, queues: list[str], *, once: bool
) -> int:
    from worker.supervisor.http_source import work

    try:
        work(settings, client, supervisor, queues, once=once)
    except Refused as error:
        return _report_refusal(settings, error)
    return DONE


def _report_refusal(settings: WorkerSettings, error: Refused) -> int:
    hint = HINTS.get(error.status, "Check BATON_URL and --queue.")
    if error.problem == WRONG_STORE:
        hint = "Set BATON_STORE to the service's store, and start the worker again."
    print(f"baton worker: {settings.url} gives no work to this worker: {error}\n{hint}", file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
