"""Runs the program of a job below this process: starts it, obeys the job's directives, and says how it ended."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from baton.domain.goodput import Bucket
from baton.domain.reasons import Reason
from baton.domain.spec import ProgramJobSpec
from baton.domain.wire import Phase
from baton.program.protocol import SaveDue
from baton.program.protocol import Stop as StopEvent
from baton.system.oom import OomKills
from worker.attempt.failures import ProgramFailure
from worker.attempt.protocols import ProgramControl, Stop, Stopped, Workspace
from worker.checkpointing.checkpoint_files import CorruptCheckpoint
from worker.checkpointing.snapshot import Snapshot
from worker.fetched.entries import Entries
from worker.ipc.progress import advanced
from worker.programs.child import Ended, ProgramProcess
from worker.programs.environment import program_environment
from worker.programs.exits import OutputTail, failure_of
from worker.programs.preparation import Prepared, prepare
from worker.programs.server import ProgramServer
from worker.programs.session import ProgramSession
from worker.programs.stopping import Signal, Stopping

LOOK_SECONDS = 0.1
DRAIN_SECONDS = 10.0
SETTLE_SECONDS = 10.0
"""After this time a program counts as training even without a sign of a step."""
LONGEST_SOCKET = 100
"""Bytes of the path of a Unix socket that every system allows."""
CANNOT_RESTORE = "the program failed before its first step after the restore of the checkpoint at step"
log = logging.getLogger(__name__)


class ProgramTrainer:
    """Implements worker.attempt.protocols.Trainer. `environment`: of the worker, without secrets."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(
        self, spec: ProgramJobSpec, control: ProgramControl, workspace: Workspace, snapshot: Snapshot | None
    ) -> dict[str, float]:
        """Runs the program to its end. Returns the metrics of its last row.

        Raises:
            Stopped: it ended because of a stop.
            ProgramFailure: it failed.
            CorruptCheckpoint: two attempts in a row failed before their first step after this checkpoint.
            LeaseLost: another worker may have the attempt.
        """
        scratch = workspace.scratch
        assert scratch is not None, "the process of a program has a scratch folder"
        entries = Entries(workspace.cache, workspace.cache_bytes)
        with ExitStack() as stack:
            stack.callback(entries.close)
            with control.watch.measure(Bucket.DATA_LOADING):
                prepared = prepare(spec, control, scratch, entries)
            session = ProgramSession(spec, control, scratch, prepared.data, snapshot)
            session.begin()
            # The program shows by its first step that it could use the checkpoint.
            control.tell(Phase.RESTORING if snapshot else Phase.STARTING)
            run = _Run(spec, control, session, snapshot)
            socket = stack.enter_context(_socket_path(scratch))
            run.start(stack, prepared, socket, scratch, self._environment)
            return run.to_the_end()


@contextmanager
def _socket_path(scratch: Path) -> Iterator[Path]:
    """The path of the socket, in a folder that only this user can enter."""
    path = scratch / "socket"
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="baton-", dir="/tmp"))
    try:
        yield folder / "socket"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    """One program from its start to its end."""

    def __init__(
        self, spec: ProgramJobSpec, control: ProgramControl, session: ProgramSession, snapshot: Snapshot | None
    ) -> None:
        self._spec, self._control, self._session, self._snapshot = spec, control, session, snapshot
        self._stopping: Stopping | None = None
        self._told: set[Stop] = set()
        self._save_asked_at: float | None = None
        self._oom, self._output, self._size = OomKills(), OutputTail(), 0

    def start(
        self, stack: ExitStack, prepared: Prepared, socket: Path, scratch: Path, environment: Mapping[str, str]
    ) -> None:
        """Starts the server and the program. `stack` ends both, the program first."""
        secret = secrets.token_hex(32)
        self._server = ProgramServer(socket, secret, self._session.welcome, self._session.handle)
        stack.callback(self._server.close)
        own = program_environment(environment, self._spec.program.environment, scratch, socket, secret)
        self._program = ProgramProcess(prepared.command, prepared.folder, own)
        stack.callback(self._program.close)
        self._started = time.monotonic()
        log.info("started the program: %s", " ".join(prepared.command)[:500])

    def to_the_end(self) -> dict[str, float]:
        """The results of the program. Raises as ProgramTrainer does."""
        ended = self._watch()
        self._server.drain(DRAIN_SECONDS)
        if ended.left:
            text = f"the program left {ended.left} processes behind; they were killed"
            log.warning("%s", text)
            self._control.note("processes_killed", text, {"processes": ended.left})
        self._control.series((), now=True)
        stop = self._control.wanted_stop()
        finished = ended.status == 0 and not self._session.heard.stopped and not self._program.terminated
        if finished and stop is not Stop.CANCELLED:
            self._session.tell_missing_metric()
            return self._session.results()
        if stop is not None or self._session.heard.stopped:
            log.info("the program ended with status %s after it was told to stop", ended.status)
            raise Stopped
        raise self._failure(ended)

    def _watch(self) -> Ended:
        """Waits for the end of the program, and obeys directives meanwhile."""
        with self._control.watch.measure(Bucket.STARTUP):
            while not self._settled():
                if (ended := self._look()) is not None:
                    return ended
        if not self._server.attached:  # it may never attach
            self._control.tell(Phase.TRAINING)
        with self._control.watch.measure(Bucket.TRAINING):
            while (ended := self._look()) is None:
                pass
        return ended

    def _settled(self) -> bool:
        return self._session.heard.active or time.monotonic() - self._started > SETTLE_SECONDS

    def _look(self) -> Ended | None:
        """One look, LOOK_SECONDS long. Returns how the program ended, if it has."""
        if (ended := self._program.wait(LOOK_SECONDS)) is not None:
            return ended
        self._obey(self._control.wanted_stop())
        self._ask_for_a_save()
        if not self._server.attached and self._output.size != self._size:  # output is its only sign of life
            self._size = self._output.size
            advanced("running the program, which has not called baton.init()")
        return None

    def _obey(self, stop: Stop | None) -> None:
        """Tells the program to stop, and ends it if it does not."""
        now = time.monotonic()
        if stop is None:
            return
        if self._stopping is None or self._stopping.stop is not stop:
            left = self._control.seconds_to_save(stop)
            patience = self._spec.limits.stall
            self._stopping = Stopping(stop, now, left, patience)
        if stop not in self._told and self._server.send(StopEvent(stop.value, self._stopping.left)):
            self._told.add(stop)
        saved_at = self._session.heard.saved_at
        if saved_at is not None and saved_at < self._stopping.since:
            saved_at = None
        match self._stopping.due(now, attached=self._server.attached, saved_at=saved_at):
            case Signal.TERMINATE if not self._program.terminated:
                log.info("the program gets SIGTERM: it was told to stop (%s) and still runs", stop)
                self._program.terminate()
            case Signal.KILL if not self._program.killed:
                log.warning("the program is killed: it was told to stop (%s) and still runs", stop)
                self._program.terminate()
                self._program.kill()

    def _ask_for_a_save(self) -> None:
        heard = self._session.heard
        if not heard.active or (heard.step is None and heard.saved_at is None):
            return
        if self._save_asked_at is not None and (heard.saved_at is None or heard.saved_at < self._save_asked_at):
            return
        steps = max(0, (heard.step or 0) - heard.saved_step)
        if self._control.checkpoint_due(steps) and self._server.send(SaveDue()):
            self._save_asked_at = time.monotonic()

    def _failure(self, ended: Ended) -> ProgramFailure | CorruptCheckpoint:
        failure = failure_of(ended, self._output.text(), memory_ran_out=self._oom.any())
        snapshot = self._snapshot
        if snapshot is None or self._session.heard.active or failure.reason != Reason.EXCEPTION:
            return failure
        if not self._server.attached:
            return failure
        step = snapshot.position.global_step
        text = f"{CANNOT_RESTORE} {step}: {failure}"
        if self._failed_before(step):
            return CorruptCheckpoint(snapshot.prefix, f"{text}\nThe attempt before failed there too")
        return ProgramFailure(Reason.RESTORE_FAILED, text, failure.fault)

    def _failed_before(self, step: int) -> bool:
        """Whether the last attempt failed in the same way after the same checkpoint."""
        record = self._control.job_record()
        attempts = record.attempts if record else ()
        before = [one for one in attempts if one.attempt == self._control.attempt - 1]
        return bool(before) and (before[0].message or "").startswith(f"{CANNOT_RESTORE} {step}:")
