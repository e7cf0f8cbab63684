"""`python -m worker.trainer`: the training process. Imports TensorFlow, then waits for its one attempt."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import NoReturn

from core.lifeline import die_with_parent
from core.storage import open_store
from core.telemetry import traces
from core.telemetry.logs import set_up
from worker.control import Trainer, Workspace
from worker.notice import Notice
from worker.orders import read_orders
from worker.presence import worker_info
from worker.programs.carrier import Compiler
from worker.programs.folder import open_folder
from worker.protocol import ServiceClient
from worker.runner import Runner
from worker.settings import WorkerSettings

HELD = ("attempt_id", "fence", "job_id", "attempt", "token", "protocol")
log = logging.getLogger("worker.trainer")


@dataclass(frozen=True)
class Loaded:
    """What trains, once its libraries are imported, and the environment that its bits depend on.

    `device`: what it trains on, as people call it. `compiler`: None where nothing is compiled.
    """

    trainer: Trainer
    environment: Mapping[str, str]
    device: str = "cpu"
    compiler: Compiler | None = None


@dataclass(frozen=True)
class Parent:
    """The worker's supervisor: its process id, and the pipe from which it reads. The service knows it as the worker.

    The training process claims with its name and process id, so that a worker has one row for all its attempts.
    """

    pid: int
    report: int


def tensorflow(settings: WorkerSettings) -> Loaded:
    """Imports TensorFlow: seconds, spent before there is an attempt."""
    from worker.training.environment import NO_GPU, compiles, configure, describe, program_machine, take_gpus

    folder = None if settings.xla == "off" else open_folder(settings.cache)
    if folder:
        folder.announce()
    configure(settings.threads)
    take_gpus(settings.gpus)
    from worker.training.session import train

    environment = describe(settings.threads)
    gpu = environment["gpu"]
    compiler = None
    if folder and compiles(settings.xla):
        compiler = Compiler(folder, program_machine(settings.threads), settings.cache)
    elif folder:
        folder.close()
    return Loaded(train, environment, "cpu" if gpu == NO_GPU else gpu, compiler)


def serve(load: Callable[[WorkerSettings], Loaded] = tensorflow) -> NoReturn:
    """Ends the process with exit status 0 once the attempt is given back."""
    parent, report = int(sys.argv[1]), int(sys.argv[2])
    settings, notice = WorkerSettings(), Notice()
    notice.listen(settings.grace)
    die_with_parent(parent)
    # The log of the attempt, which people read; the worker makes JSON of it on its own standard error.
    set_up("text", settings.log_level, settings.secrets)
    if missing := traces.set_up("baton-worker"):
        log.warning("%s", missing)
    orders = read_orders(sys.stdin, notice, settings.grace)
    loaded = load(settings)
    runner = _runner(settings, loaded, notice, Parent(parent, report))
    log.info("warm: waiting for an attempt with TensorFlow imported")
    _say(report, ready=True, device=loaded.device)
    while True:
        order = orders.get()
        if notice.given or runner.run(order.attempt_id, order.deadline):
            break
        _say(report, refused=order.attempt_id)
    if loaded.compiler:
        loaded.compiler.folder.close()
    _leave()


def _workspace(settings: WorkerSettings) -> Workspace:
    asked = settings.augmentation_processes
    processes = settings.threads - 1 if asked is None else asked
    return Workspace(
        settings.cache,
        settings.threads,
        processes,
        settings.downloads,
        reports=settings.reports,
        xla=settings.xla,
        data_roots=settings.roots,
        steps_ahead=settings.steps_ahead,
    )


def _runner(settings: WorkerSettings, loaded: Loaded, notice: Notice, parent: Parent) -> Runner:
    return Runner(
        client=ServiceClient(settings.url, settings.token, settings.worker_name),
        store=open_store(settings.store),
        trainer=loaded.trainer,
        workspace=_workspace(settings),
        worker=worker_info(settings, loaded.device, parent.pid),
        notice=notice,
        environment=loaded.environment,
        grace=settings.grace,
        claimed=lambda grant: _say(parent.report, **{name: getattr(grant, name) for name in HELD}),
        spent=lambda cost: _say(parent.report, cost=asdict(cost)),
        compiler=loaded.compiler,
    )


def _leave() -> NoReturn:
    # TensorFlow takes seconds to tear down, in which a signal would look like a death in the middle of the work.
    traces.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _say(pipe: int, **word: object) -> None:
    os.write(pipe, json.dumps(word).encode() + b"\n")


if __name__ == "__main__":
    serve()
