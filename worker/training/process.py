"""The training process, `python -m worker.training`: imports TensorFlow, then waits for one attempt."""

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
"""The index of the argument with the file descriptor of the progress cell."""
log = logging.getLogger("worker.training")


@dataclass(frozen=True)
class Loaded:
    """The trainer, with its libraries imported, and the environment that the bits of its results depend on.

    `device`: its name for people. `compiler`: None without a GPU. `problem`: why the device cannot be used; the process
    then takes no attempt.
    """

    trainer: Trainer
    environment: Mapping[str, str]
    device: str = "cpu"
    compiler: Compiler | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Parent:
    """The supervisor: its process id, and the pipe that it reads.

    The training process claims with the name and process id of the supervisor, so that a worker has one row in the
    service for all its attempts.
    """

    pid: int
    report: int


def tensorflow(settings: WorkerSettings) -> Loaded:
    """Imports TensorFlow. It takes seconds, so it is done before an attempt arrives."""
    from worker.training.environment import NO_GPU, compiles, configure, describe, take_gpus

    configure(settings.threads, nondeterministic=settings.nondeterministic_ops == "allow")
    take_gpus(settings.gpus)
    from worker.training.devices import gpu_problem
    from worker.training.gpu_versions import kernel_machine
    from worker.training.loop import train

    environment = describe(settings.threads, settings.xla)
    gpu = environment["gpu"]
    problem = gpu_problem(settings.gpus)
    if gpu == NO_GPU:
        return Loaded(train, environment, problem=problem)
    compiler = Compiler.open(kernel_machine(), settings.cache, compiled=compiles(settings.xla))
    return Loaded(train, environment, gpu, compiler, problem)


def serve(load: Callable[[WorkerSettings], Loaded] = tensorflow) -> NoReturn:
    """Waits for orders, runs one attempt, then ends the process with exit status 0."""
    parent, report = int(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > WITH_CELL:
        CELL.attach(int(sys.argv[WITH_CELL]))
    listen()
    settings, notice = WorkerSettings(), Notice()
    notice.listen(settings.grace)
    die_with_parent(parent)
    # Text, because people read an attempt's log. The supervisor writes it to its own standard error as JSON.
    set_up("text", settings.log_level, settings.secrets)
    if missing := traces.set_up("baton-worker"):
        log.warning("%s", missing)
    orders = read_orders(sys.stdin, notice, settings.grace)
    loaded = load(settings)
    runner = _runner(settings, loaded, notice, Parent(parent, report))
    if loaded.problem:
        log.error("takes no attempts: %s", loaded.problem)
    else:
        log.info("warm: waiting for an attempt with TensorFlow imported")
    _send(report, Ready(loaded.device, loaded.problem))
    while True:
        order = orders.get()
        if notice.given or (not loaded.problem and runner.run(order.attempt_id, order.deadline)):
            break
        _send(report, NotHeld(order.attempt_id))
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
        claimed=lambda grant: _send(
            parent.report,
            Held(grant.attempt_id, grant.fence, grant.job_id, grant.attempt, grant.token, grant.protocol),
        ),
        given_back=lambda grant, finish, cost: _send(parent.report, _given_back(grant, finish, cost)),
        compiler=loaded.compiler,
    )


def _leave() -> NoReturn:
    # TensorFlow's teardown takes seconds, and a signal in that time would look like a crash of the attempt.
    traces.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _given_back(grant: Grant, finish: Finish | None, cost: Cost) -> GivenBack:
    outcome, reason, fault = (None, None, None) if finish is None else (finish.outcome, finish.reason, finish.fault)
    return GivenBack(grant.attempt_id, cost.startup, cost.handover, outcome, reason, fault)


def _send(pipe: int, message: Message) -> None:
    os.write(pipe, message_line(message))
