"""The training process, `python -m worker.training`. Imports TensorFlow, then waits for its one attempt."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from baton.domain.wire import Finish, Grant
from baton.storage import open_store
from baton.system.parent_death import die_with_parent
from baton.telemetry import traces
from baton.telemetry.log_format import set_up
from worker.api_client.client import ServiceClient
from worker.attempt.protocols import Trainer, Workspace
from worker.attempt.runner import Runner
from worker.autotuning.transfer import Compiler
from worker.ipc.messages import GivenBack, Held, Message, NotHeld, Ready, message_line
from worker.ipc.orders import read_orders
from worker.ipc.progress import CELL
from worker.ipc.stacks import listen
from worker.preemption.deadline import Cost
from worker.preemption.notice import Notice
from worker.settings import WorkerSettings
from worker.worker_info import worker_info

WITH_CELL = 3
"""The argument that names the file of the progress cell."""
log = logging.getLogger("worker.training")


@dataclass(frozen=True)
class Loaded:
    """What trains, once its libraries are imported, and the environment that its bits depend on.

    `device`: what it trains on, as people call it. `compiler`: None without a GPU. `problem`: why the device cannot be
    used; no attempt is taken then.
    """

    trainer: Trainer
    environment: Mapping[str, str]
    device: str = "cpu"
    compiler: Compiler | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Parent:
    """The worker's supervisor: its process id, and the pipe from which it reads. The service knows it as the worker.

    The training process claims with its name and process id, so that a worker has one row for all its attempts.
    """

    pid: int
    report: int


def tensorflow(settings: WorkerSettings) -> Loaded:
    """Imports TensorFlow: seconds, spent before there is an attempt."""
    from worker.training.environment import NO_GPU, compiles, configure, describe, take_gpus

    configure(settings.threads, nondeterministic=settings.nondeterministic_ops == "allow")
    take_gpus(settings.gpus)
    from worker.training.devices import gpu_problem
    from worker.training.loop import train
    from worker.training.versions import kernel_machine

    environment = describe(settings.threads, settings.xla)
    gpu = environment["gpu"]
    problem = gpu_problem(settings.gpus)
    if gpu == NO_GPU:
        return Loaded(train, environment, problem=problem)
    compiler = Compiler.open(kernel_machine(), settings.cache, compiled=compiles(settings.xla))
    return Loaded(train, environment, gpu, compiler, problem)


def serve(load: Callable[[WorkerSettings], Loaded] = tensorflow) -> NoReturn:
    """Ends the process with exit status 0 once the attempt is given back."""
    parent, report = int(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > WITH_CELL:
        CELL.attach(int(sys.argv[WITH_CELL]))
    listen()
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
    if loaded.problem:
        log.error("no work is taken: %s", loaded.problem)
    else:
        log.info("warm: waiting for an attempt with TensorFlow imported")
    _say(report, Ready(loaded.device, loaded.problem))
    while True:
        order = orders.get()
        if notice.given or (not loaded.problem and runner.run(order.attempt_id, order.deadline)):
            break
        _say(report, NotHeld(order.attempt_id))
    if loaded.compiler:
        loaded.compiler.close()
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
        self_check=settings.self_check,
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
        claimed=lambda grant: _say(parent.report, _held(grant)),
        given_back=lambda grant, finish, cost: _say(parent.report, _given_back(grant, finish, cost)),
        compiler=loaded.compiler,
    )


def _leave() -> NoReturn:
    # TensorFlow takes seconds to tear down, in which a signal would look like a death in the middle of the work.
    traces.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _held(grant: Grant) -> Held:
    return Held(grant.attempt_id, grant.fence, grant.job_id, grant.attempt, grant.token, grant.protocol)


def _given_back(grant: Grant, finish: Finish | None, cost: Cost) -> GivenBack:
    outcome, reason, fault = (None, None, None) if finish is None else (finish.outcome, finish.reason, finish.fault)
    return GivenBack(grant.attempt_id, cost.startup, cost.handover, outcome, reason, fault)


def _say(pipe: int, message: Message) -> None:
    os.write(pipe, message_line(message))
