"""Injects the scheduled faults into the members of a cluster, and repairs all of them at the end."""

from __future__ import annotations

import contextlib
import heapq
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import NoReturn

from tests.control_plane import (
    network_faults,
    outages,
)
from tests.control_plane.cluster import Cluster
from tests.control_plane.fault_schedule import Kind, ScheduledFault
from tests.control_plane.processes import group_is_empty, is_dead, send, wake_group, wake_service
from tests.support.proxy import Proxy
from tests.support.service import ServiceProcess
from tests.support.worker import WorkerProcess

GONE_SECONDS = 60.0
"""The time that a worker may take to end on a slow machine, including its grace of 8 s."""

ORPHAN_SECONDS = 60.0

FROZEN_SECONDS = 30.0
"""The longest time beyond the drawn one until a service that is available ends the attempt of a frozen worker."""

_Act = Callable[[], None]
_Repair = Callable[[], object]
"""A function that ends a fault. If it returns False, it could not yet, and is called again."""

_Member = ServiceProcess | WorkerProcess | Proxy | str


class _NotNow(Exception):
    """The target is faulty already, or does not exist: nothing is done."""


@dataclass
class FaultInjector:
    """Carries out a list of faults.

    `counts`: what happened. `wrong`: forbidden things that members did. `poisoned`: jobs with a damaged row, and the
    function that repairs each.
    """

    cluster: Cluster
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    poisoned: dict[str, _Act] = field(default_factory=dict)
    _agenda: list[tuple[float, int, _Act]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _faulty: set[int] = field(default_factory=set)
    _began: dict[int, int] = field(default_factory=dict)

    def inject_all(self, faults: list[ScheduledFault], until: float) -> None:
        """Inject faults until a time of time.monotonic. Members that are faulty then are repaired later."""
        begun = time.monotonic()
        for fault in faults:
            self._at(begun + fault.at, lambda fault=fault: self._strike(fault))  # type: ignore[misc]
        while (now := time.monotonic()) < until:
            self._run_until(now)
            self._find_the_dead()
            time.sleep(0.02)

    def calm(self) -> None:
        """Repair all members, now or as soon as possible."""
        deadline = time.monotonic() + GONE_SECONDS + ORPHAN_SECONDS
        while self._agenda and time.monotonic() < deadline:
            self._run_until(float("inf"))
            time.sleep(0.02)
        for proxy in self.cluster.links.values():
            proxy.repair()

    def watch(self) -> None:
        """Call this while no member is faulty: a member that ends now does so without a fault."""
        self._find_the_dead()

    def _at(self, when: float, act: _Act) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), act))

    def _run_until(self, now: float) -> None:
        due = []
        while self._agenda and self._agenda[0][0] <= now:
            due.append(heapq.heappop(self._agenda)[2])
        for act in due:
            act()

    def _strike(self, fault: ScheduledFault) -> None:
        try:
            repair = _STRIKES[fault.kind](self, fault)
        except _NotNow:
            self.counts["came to nothing"] += 1
            return
        self.counts[fault.kind] += 1
        self._at(time.monotonic() + fault.seconds, repair)

    def hit(self, member: _Member, repair: _Repair) -> _Act:
        """Mark a member as faulty until it is repaired."""
        self._faulty.add(id(member))

        def repaired() -> None:
            if repair() is False:
                self._at(time.monotonic() + 0.1, repaired)
            else:
                self._faulty.discard(id(member))

        return repaired

    def is_faulty(self, member: _Member) -> bool:
        """Whether a fault of this member has not been repaired."""
        return id(member) in self._faulty

    def nothing(self) -> NoReturn:
        """Report that this fault has no target."""
        raise _NotNow

    def whole(self, member: _Member) -> None:
        if self.is_faulty(member):
            raise _NotNow

    def _service(self, fault: ScheduledFault) -> ServiceProcess:
        service = self.cluster.services[fault.target % len(self.cluster.services)]
        self.whole(service)
        return service

    def _worker(self, fault: ScheduledFault) -> WorkerProcess:
        worker = self.cluster.workers[fault.target % len(self.cluster.workers)]
        self.whole(worker)
        return worker

    def _busy_worker(self, fault: ScheduledFault) -> WorkerProcess:
        """A worker that holds an attempt: a fault of another has no effect. The drawn one if none holds any."""
        workers = self.cluster.workers
        others = (workers[(fault.target + k) % len(workers)] for k in range(len(workers)))
        busy = (one for one in others if not self.is_faulty(one) and self.cluster.held_attempts(one.name))
        return next(busy, None) or self._worker(fault)

    # --- services ---

    def kill_service(self, fault: ScheduledFault) -> _Act:
        """Send SIGKILL, and start a new process on the same port."""
        service = self._service(fault)
        service.kill()
        return self.hit(service, service.spawn)

    def stop_service(self, fault: ScheduledFault) -> _Act:
        """Send SIGTERM, and start a new process when the old one has ended."""
        service = self._service(fault)
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        give_up = time.monotonic() + GONE_SECONDS
        return self.hit(service, lambda: self._start_again(service, give_up))

    def _start_again(self, service: ServiceProcess, give_up: float) -> bool:
        if not is_dead(service) and time.monotonic() < give_up:
            return False
        if not is_dead(service):
            self.wrong.append(f"a service did not end within {GONE_SECONDS} s of SIGTERM")
        service.kill()
        service.spawn()
        return True

    def freeze_service(self, fault: ScheduledFault) -> _Act:
        """Send SIGSTOP, then SIGCONT."""
        service = self._service(fault)
        assert service.process is not None
        service.process.send_signal(signal.SIGSTOP)
        return self.hit(service, lambda: wake_service(service))

    # --- workers ---

    def kill_worker(self, fault: ScheduledFault) -> _Act:
        """Send SIGKILL to the parent only: its training process must end with it."""
        worker = self._worker(fault)
        worker.process.kill()  # type: ignore[union-attr]
        worker.process.wait()  # type: ignore[union-attr]
        give_up = time.monotonic() + ORPHAN_SECONDS
        return self.hit(worker, lambda: self._replace(worker, give_up))

    def _replace(self, worker: WorkerProcess, give_up: float) -> bool:
        if not group_is_empty(worker.pid):
            if time.monotonic() < give_up:
                return False
            self.wrong.append(f"the training process of {worker.name} outlived it")
            worker.kill_group()
        self.start_worker(worker)
        return True

    def start_worker(self, worker: WorkerProcess) -> None:
        """Start the worker again. The earlier lines of its log belong to an earlier process."""
        self._began[id(worker)] = worker.log.stat().st_size
        self.cluster.start_worker(worker)

    def stop_worker(self, fault: ScheduledFault) -> _Act:
        """Send SIGTERM to the parent, and start a new worker when it has ended."""
        worker = self._worker(fault)
        worker.terminate()
        give_up = time.monotonic() + GONE_SECONDS
        return self.hit(worker, lambda: self._start_anew(worker, give_up))

    def _start_anew(self, worker: WorkerProcess, give_up: float) -> bool:
        assert worker.process is not None
        if not is_dead(worker) and time.monotonic() < give_up:
            return False
        if not is_dead(worker):
            self.wrong.append(f"{worker.name} did not end within {GONE_SECONDS} s of SIGTERM")
            worker.kill_group()
        elif worker.process.returncode != 0 and self._has_worked(worker):
            self.wrong.append(f"{worker.name} ended with status {worker.process.returncode} after SIGTERM")
        return self._replace(worker, time.monotonic())

    def _has_worked(self, worker: WorkerProcess) -> bool:
        """Whether the worker has received work.

        A worker that is stopped while it still imports ends like any program.
        """
        with worker.log.open("rb") as log:
            log.seek(self._began.get(id(worker), 0))
            return b"goes to training process" in log.read()

    def freeze_worker(self, fault: ScheduledFault) -> _Act:
        """Send SIGSTOP to a worker and its training process. Send SIGCONT when its attempt is no longer its own.

        The service may extend a lease because of another fault, so a fixed time would not be enough.
        """
        worker = self._busy_worker(fault)
        os.killpg(worker.pid, signal.SIGSTOP)
        held = self.cluster.held_attempts(worker.name)
        give_up = time.monotonic() + fault.seconds + FROZEN_SECONDS
        return self.hit(worker, lambda: self._wake(worker, held, give_up))

    def _wake(self, worker: WorkerProcess, held: set[str], give_up: float) -> bool:
        if time.monotonic() < give_up and held & self.cluster.held_attempts(worker.name):
            return False
        wake_group(worker)
        return True

    def kill_training(self, fault: ScheduledFault) -> _Act:
        """Send SIGKILL to the training process only."""
        send(self._training(fault), signal.SIGKILL)
        return lambda: None

    def freeze_training(self, fault: ScheduledFault) -> _Act:
        """Send SIGSTOP to the training process only, then SIGCONT."""
        pid = self._training(fault)
        send(pid, signal.SIGSTOP)
        return lambda: send(pid, signal.SIGCONT)

    def _training(self, fault: ScheduledFault) -> int:
        worker = self._worker(fault)
        with contextlib.suppress(OSError):
            children = worker.children()
            if children:
                return children[0]
        raise _NotNow

    # --- members that end without a fault ---

    def _find_the_dead(self) -> None:
        for service in self.cluster.services:
            if id(service) not in self._faulty and is_dead(service):
                if not self._had_no_database(service):
                    self._found_dead(service.log.stem, service)
                service.spawn()
        for worker in self.cluster.workers:
            if id(worker) not in self._faulty and is_dead(worker):
                self._found_dead(worker.name, worker)
                worker.kill_group()
                self.start_worker(worker)

    def _had_no_database(self, service: ServiceProcess) -> bool:
        """Whether the service ended because its database was unavailable at its start.

        It reports this, and is started again.
        """
        assert service.process is not None
        last_lines = service.log.read_text(errors="replace").splitlines()[-1:]
        return service.process.returncode == 2 and any("baton: BATON_DATABASE_URL:" in line for line in last_lines)

    def _found_dead(self, name: str, member: ServiceProcess | WorkerProcess) -> None:
        assert member.process is not None
        last_lines = member.log.read_text(errors="replace").splitlines()[-8:]
        self.wrong.append(f"{name} ended by itself with status {member.process.returncode}:\n" + "\n".join(last_lines))


_STRIKES: dict[Kind, Callable[[FaultInjector, ScheduledFault], _Act]] = {
    Kind.KILL_SERVICE: FaultInjector.kill_service,
    Kind.STOP_SERVICE: FaultInjector.stop_service,
    Kind.FREEZE_SERVICE: FaultInjector.freeze_service,
    Kind.KILL_WORKER: FaultInjector.kill_worker,
    Kind.STOP_WORKER: FaultInjector.stop_worker,
    Kind.FREEZE_WORKER: FaultInjector.freeze_worker,
    Kind.KILL_TRAINING: FaultInjector.kill_training,
    Kind.FREEZE_TRAINING: FaultInjector.freeze_training,
    Kind.KILL_REDIS: network_faults.kill_redis,
    Kind.RESET_LINK: network_faults.reset_link,
    Kind.STALL_LINK: network_faults.stall_link,
    Kind.REFUSE_LINK: network_faults.refuse_link,
    Kind.LOSE_ON_LINK: network_faults.lose_on_link,
    Kind.FREEZE_LEADER: outages.freeze_leader,
    Kind.STOP_DATABASE: outages.stop_database,
    Kind.HANG_STORE: outages.hang_store,
    Kind.STEP_CLOCK: outages.step_clock,
    Kind.POISON_ROW: outages.poison_row,
    Kind.OLD_WORKER: outages.old_worker,
}
