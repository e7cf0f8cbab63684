"""Hurts the members of a cluster as drawn, and has each of them back in the end."""

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
"""How long a worker that was asked to end may take, beyond its grace of 8 s, on a machine with no time."""

ORPHAN_SECONDS = 60.0
_Act = Callable[[], None]
_Heal = Callable[[], object]
"""What ends a fault; False: not yet, to be called again."""

_Member = ServiceProcess | WorkerProcess | Proxy | str


class _NotNow(Exception):
    """The target is hurt already, or not there: nothing happens."""


@dataclass
class FaultInjector:
    """Follows a list of faults.

    `counts`: what happened; `wrong`: what members did that they must not do; `poisoned`: jobs with a damaged row,
    and how it is mended.
    """

    cluster: Cluster
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    poisoned: dict[str, _Act] = field(default_factory=dict)
    _agenda: list[tuple[float, int, _Act]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _hurt: set[int] = field(default_factory=set)
    _began: dict[int, int] = field(default_factory=dict)

    def rage(self, faults: list[ScheduledFault], until: float) -> None:
        """Until a point of time.monotonic; what is hurt then is healed."""
        begun = time.monotonic()
        for fault in faults:
            self._at(begun + fault.at, lambda fault=fault: self._strike(fault))  # type: ignore[misc]
        while (now := time.monotonic()) < until:
            self._run_until(now)
            self._find_the_dead()
            time.sleep(0.02)

    def calm(self) -> None:
        """Everybody is whole again, now or as soon as it can be."""
        deadline = time.monotonic() + GONE_SECONDS + ORPHAN_SECONDS
        while self._agenda and time.monotonic() < deadline:
            self._run_until(float("inf"))
            time.sleep(0.02)
        for proxy in self.cluster.links.values():
            proxy.heal()

    def watch(self) -> None:
        """To be called while nothing is hurt: whoever ends now does so by itself."""
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
            heal = _STRIKES[fault.kind](self, fault)
        except _NotNow:
            self.counts["came to nothing"] += 1
            return
        self.counts[fault.kind] += 1
        self._at(time.monotonic() + fault.seconds, heal)

    def hit(self, member: _Member, heal: _Heal) -> _Act:
        """Marks a member as hurt until it is healed."""
        self._hurt.add(id(member))

        def healed() -> None:
            if heal() is False:
                self._at(time.monotonic() + 0.1, healed)
            else:
                self._hurt.discard(id(member))

        return healed

    def is_hurt(self, member: _Member) -> bool:
        """Whether it is."""
        return id(member) in self._hurt

    def nothing(self) -> NoReturn:
        """This fault finds no target."""
        raise _NotNow

    def whole(self, member: _Member) -> None:
        if self.is_hurt(member):
            raise _NotNow

    def _service(self, fault: ScheduledFault) -> ServiceProcess:
        service = self.cluster.services[fault.target % len(self.cluster.services)]
        self.whole(service)
        return service

    def _worker(self, fault: ScheduledFault) -> WorkerProcess:
        worker = self.cluster.workers[fault.target % len(self.cluster.workers)]
        self.whole(worker)
        return worker

    # --- services ---

    def kill_service(self, fault: ScheduledFault) -> _Act:
        """SIGKILL, and a new one on its port."""
        service = self._service(fault)
        service.kill()
        return self.hit(service, service.spawn)

    def stop_service(self, fault: ScheduledFault) -> _Act:
        """SIGTERM, and a new one once it is gone."""
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
        """SIGSTOP, then SIGCONT."""
        service = self._service(fault)
        assert service.process is not None
        service.process.send_signal(signal.SIGSTOP)
        return self.hit(service, lambda: wake_service(service))

    # --- workers ---

    def kill_worker(self, fault: ScheduledFault) -> _Act:
        """SIGKILL to the parent alone: its training process must go with it."""
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
        """Start it anew. What its log has until then is about an earlier process."""
        self._began[id(worker)] = worker.log.stat().st_size
        self.cluster.start_worker(worker)

    def stop_worker(self, fault: ScheduledFault) -> _Act:
        """SIGTERM to the parent, and a new one once it is gone."""
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
        """One that is asked to end while it still imports does so as any program does."""
        with worker.log.open("rb") as log:
            log.seek(self._began.get(id(worker), 0))
            return b"goes to training process" in log.read()

    def freeze_worker(self, fault: ScheduledFault) -> _Act:
        """SIGSTOP to worker and training process, beyond the lease; then SIGCONT."""
        worker = self._worker(fault)
        os.killpg(worker.pid, signal.SIGSTOP)
        return self.hit(worker, lambda: wake_group(worker))

    def kill_training(self, fault: ScheduledFault) -> _Act:
        """SIGKILL to the training process alone."""
        send(self._training(fault), signal.SIGKILL)
        return lambda: None

    def freeze_training(self, fault: ScheduledFault) -> _Act:
        """SIGSTOP to the training process alone, then SIGCONT."""
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

    # --- whoever ends uncalled ---

    def _find_the_dead(self) -> None:
        for service in self.cluster.services:
            if id(service) not in self._hurt and is_dead(service):
                if not self._had_no_database(service):
                    self._found_dead(service.log.stem, service)
                service.spawn()
        for worker in self.cluster.workers:
            if id(worker) not in self._hurt and is_dead(worker):
                self._found_dead(worker.name, worker)
                worker.kill_group()
                self.start_worker(worker)

    def _had_no_database(self, service: ServiceProcess) -> bool:
        """One that starts while its database is away says so, and whoever started it starts it again."""
        assert service.process is not None
        said = service.log.read_text(errors="replace").splitlines()[-1:]
        return service.process.returncode == 2 and any("baton: BATON_DATABASE_URL:" in line for line in said)

    def _found_dead(self, name: str, member: ServiceProcess | WorkerProcess) -> None:
        assert member.process is not None
        said = member.log.read_text(errors="replace").splitlines()[-8:]
        self.wrong.append(f"{name} ended by itself with status {member.process.returncode}:\n" + "\n".join(said))


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
