"""The process of one attempt: imports its libraries, then waits for the attempt and runs it.

`python -m worker.training` is such a process with TensorFlow. `python -m worker.programs` is one that runs a program.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from baton.domain.wire import Finish, Grant
from baton.storage import open_store
from baton.system.parent_death import die_with_parent
from baton.system.process_memory import hide_memory
from baton.telemetry import traces
from baton.telemetry.log_format import set_up
from worker.api_client.client import ServiceClient
from worker.attempt.protocols import Trainer, Workspace
from worker.attempt.runner import Runner
from worker.autotuning.transfer import Compiler
from worker.ipc.messages import GivenBack, Held, Message, NotHeld, Ready, WrongProcess, message_line
from worker.ipc.orders import read_orders
from worker.ipc.progress import CELL
from worker.ipc.stacks import listen
from worker.preemption.deadline import Cost
from worker.preemption.notice import Notice
from worker.settings import THROUGH_SERVICE, WorkerSettings
from worker.worker_info import worker_info

WITH_CELL = 3
"""The index of the argument with the file descriptor of the progress cell."""
log = logging.getLogger("worker.process")


@dataclass(frozen=True)
class Loaded:
    """The trainer, with its libraries imported, and the environment that the bits of its results depend on.

    `device`: its readable name. `compiler`: None without a GPU. `problem`: why the device cannot be used; a process
    with a problem takes no attempt. `scratch`: the folder for the attempt of a process that runs programs; None for one
    that trains classifiers. `close`: called when the attempt has ended.
    """

    trainer: Trainer
    environment: Mapping[str, str]
    device: str = "cpu"
    compiler: Compiler | None = None
    problem: str | None = None
    scratch: Path | None = None
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Parent:
    """The supervisor: its process id, and the pipe that it reads.

    The training process sends the name and process id of the supervisor in its claim, so that the service keeps one row
    for all attempts of a worker.
    """

    pid: int
    report: int


def serve(load: Callable[[WorkerSettings], Loaded]) -> NoReturn:
    """Waits for orders, runs one attempt, then ends the process with exit status 0."""
    parent, report = int(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > WITH_CELL:
        CELL.attach(int(sys.argv[WITH_CELL]))
    listen()
    settings, notice = WorkerSettings(), Notice()
    notice.listen(settings.grace)
    die_with_parent(parent)
    if settings.programs:
        hide_memory()
    # Always text, because people read an attempt's log. The supervisor can write it to its standard error as JSON.
    set_up("text", settings.log_level, settings.secrets)
    if missing := traces.set_up("baton-worker"):
        log.warning("%s", missing)
    orders = read_orders(sys.stdin, notice, settings.grace)
    loaded = load(settings)
    runner = _runner(settings, loaded, notice, Parent(parent, report))
    if loaded.problem:
        log.error("takes no attempts: %s", loaded.problem)
    else:
        log.info("warm: waiting for an attempt")
    _send(report, Ready(loaded.device, loaded.problem))
    while True:
        order = orders.get()
        # After a notice, an attempt that another process of this worker has claimed is still handed over.
        if (notice.given and order.claim_id is None) or (
            not loaded.problem and runner.run(order.attempt_id, order.deadline, order.claim_id)
        ):
            break
        _send(report, NotHeld(order.attempt_id))
    if loaded.compiler:
        loaded.compiler.close()
    loaded.close()
    _leave()


def _workspace(settings: WorkerSettings, scratch: Path | None) -> Workspace:
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
        data_sources=settings.sources,
        cache_bytes=settings.cache_bytes,
        scratch=scratch,
    )


def _runner(settings: WorkerSettings, loaded: Loaded, notice: Notice, parent: Parent) -> Runner:
    return Runner(
        client=ServiceClient(settings.url, settings.token, settings.worker_name),
        store=open_store(settings.own_store) if settings.own_store else None,
        direct=settings.store != THROUGH_SERVICE,
        trainer=loaded.trainer,
        workspace=_workspace(settings, loaded.scratch),
        worker=worker_info(settings, loaded.device, parent.pid),
        notice=notice,
        environment=loaded.environment,
        grace=settings.grace,
        claimed=lambda grant: _send(
            parent.report,
            Held(
                grant.attempt_id,
                grant.fence,
                grant.job_id,
                grant.attempt,
                grant.token,
                grant.protocol,
                grant.store.url if grant.store else "",
            ),
        ),
        given_back=lambda grant, finish, cost: _send(parent.report, _given_back(grant, finish, cost)),
        compiler=loaded.compiler,
        programs=loaded.scratch is not None,
        wrong_process=_switch(settings, loaded, parent),
    )


def _switch(settings: WorkerSettings, loaded: Loaded, parent: Parent) -> Callable[[str, str], None] | None:
    """What to do with an attempt for the other kind of process; None if this worker has no process of that kind."""
    if loaded.scratch is not None or not settings.programs:
        return None
    return lambda attempt_id, claim_id: _send(parent.report, WrongProcess(attempt_id, claim_id))


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
