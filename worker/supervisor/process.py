"""The training process: a new interpreter that imports its libraries, waits for one attempt, and dies with its parent.

It trains with TensorFlow or runs a program (see TRAINER and PROGRAM_RUNNER).
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from baton.domain.manifest import log_segment
from baton.domain.reasons import Reason
from baton.system.oom import OomKills
from baton.system.process_tree import ProcessTree, descendants
from worker.failure_texts import CRASHED, LESS_MEMORY
from worker.ipc.messages import (
    GivenBack,
    Held,
    Inbox,
    MessageUnreadable,
    NotHeld,
    Ready,
    WrongProcess,
    read_message,
)
from worker.ipc.orders import notice_line, order_line
from worker.ipc.progress import Seen, SharedCell
from worker.ipc.stacks import write_stacks
from worker.log_shipping.process_output import Output
from worker.log_shipping.shipper import Shipper
from worker.preemption.deadline import Deadline
from worker.preemption.notice import NoticeDetails

TRAINER, PROGRAM_RUNNER = "worker.training", "worker.programs"
"""The modules of the two kinds of training processes."""
OUTPUT_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
"""With these variables, no printed line is lost when the process dies, and a native crash writes its Python stack."""
GUARD_SECONDS = 3.0
"""How long the guard of a program may take to kill the processes of the program (worker.programs.guard)."""
KILL_SECONDS = 10.0
"""How long the kernel may take to end a killed process. A process in uninterruptible sleep does not end."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Death:
    """How a training process died without ending its attempt."""

    reason: Reason
    message: str


@dataclass
class Assignment:
    """The attempt that was assigned last, and the messages of the process about it."""

    attempt_id: str
    held: Held | None = None
    given_back: GivenBack | None = None
    refused: bool = False
    wrong: WrongProcess | None = None

    def take(self, message: Held | NotHeld | WrongProcess | GivenBack) -> None:
        """Stores a message about this attempt."""
        match message:
            case Held():
                self.held = message
            case NotHeld():
                self.refused = True
            case WrongProcess():
                self.wrong = message
            case GivenBack():
                self.given_back = message


class TrainingProcess:
    """A child process for one attempt. It imports its libraries before it gets the attempt, so that it starts fast.

    `module`: the module to run: TRAINER, PROGRAM_RUNNER, or another one that calls `worker.attempt.process.serve`. The
    output of the process is written to the worker's stderr, and passed to `shipper` if there is one.
    """

    def __init__(self, module: str = TRAINER, shipper: Shipper | None = None) -> None:
        self._oom_kills = OomKills()
        self._guarded = module == PROGRAM_RUNNER
        self._shipper = shipper
        self._output = Output(shipper.add_output, shipper.show) if shipper else Output(lambda _data: None)
        self._report, child_end = os.pipe()
        self._cell = SharedCell()
        self.abandoned = False
        command = [sys.executable, "-m", module, str(os.getpid()), str(child_end), str(self._cell.descriptor)]
        # The child is in the worker's process group, so that a signal to the group ends worker and child.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._output.fileno(),
            stderr=self._output.fileno(),
            pass_fds=(child_end, self._cell.descriptor),
            text=True,
            env={**os.environ, **OUTPUT_ENVIRONMENT},
        )
        log.info("training process %d started", self._process.pid)
        os.close(child_end)
        self._cell.close()
        os.set_blocking(self._report, False)
        self._inbox = Inbox(self._report)
        self._ready: Ready | None = None
        self._assignment: Assignment | None = None

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the child has imported its libraries."""
        self._read()
        return self._ready is not None

    @property
    def device(self) -> str | None:
        """The device that the child trains on; None until it is ready."""
        self._read()
        return self._ready.device if self._ready else None

    @property
    def busy(self) -> bool:
        """Whether the child has an attempt. Only a child that did not get its attempt can take another one."""
        return self._assignment is not None and not self._assignment.refused

    @property
    def problem(self) -> str | None:
        """Why the child cannot train on its device. None if it can, or until it is ready."""
        self._read()
        return self._ready.problem if self._ready else None

    def assign(self, attempt_id: str, deadline: Deadline | None = None, claim_id: str | None = None) -> None:
        """Assigns the attempt. The child claims it, and hands it over before the deadline.

        `claim_id`: of a claim that the child repeats. Raises RuntimeError if the child has an attempt.
        """
        self._read()  # messages up to now are about earlier attempts
        if self.busy:
            raise RuntimeError(f"training process {self._process.pid} has an attempt and cannot take {attempt_id}")
        self._assignment = Assignment(attempt_id)
        self._send(order_line(attempt_id, deadline, claim_id))
        log.info("attempt %s goes to training process %d", attempt_id, self._process.pid)

    def notify(self, details: NoticeDetails) -> None:
        """Forwards a preemption notice: the child ends its step, saves, and hands the attempt over.

        Safe in a signal handler.
        """
        try:
            self._send(notice_line(details))
        except (OSError, ValueError) as error:  # its pipe may be closed by now
            log.debug("the training process ended before it received the notice: %s", error)

    def _send(self, line: str) -> None:
        if self._process.stdin is None:  # pragma: no cover - PIPE makes it
            raise RuntimeError("the training process has no standard input")
        # One write, shorter than PIPE_BUF: it is atomic, so a write by a signal handler cannot mix with it.
        os.write(self._process.stdin.fileno(), line.encode() + b"\n")

    def wait(self, seconds: float) -> bool:
        """Whether the process has ended. Returns after `seconds`, or as soon as the process sends a message or ends.

        Shipping of its log starts with the first call after the claim.
        """
        happened = select.poll()
        happened.register(self._report, select.POLLIN)
        if any(what & select.POLLHUP for _, what in happened.poll(seconds * 1000)):
            with suppress(subprocess.TimeoutExpired):  # the child closed its end of the pipe, so it is about to end
                self._process.wait(seconds)
        self._ship()
        return not self.alive

    def progress(self) -> Seen:
        """The progress that the child reports in shared memory."""
        return self._cell.seen()

    def write_stacks(self) -> str:
        """Writes the child's stacks to its log. Returns the innermost Python frame of its main thread, or ""."""
        output = self._output
        return write_stacks(self.pid, descendants(self.pid), output.fileno(), output.read, output.size)

    def kill(self) -> None:
        """Kills the child and all its descendants, and reaps the child.

        If the kernel did not end the child, `abandoned` is then True: the child still occupies its memory and its GPU.
        """
        if self.abandoned or not self.alive:
            return
        family = ProcessTree(self.pid)
        self._process.kill()
        if self._guarded:  # its guard also finds processes that are started only now, so it must not be killed yet
            family.wait(GUARD_SECONDS)
        family.kill()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            self.abandoned = True
            text = "training process %d was killed but has not ended: it waits in the kernel, for example for a mount"
            log.error(f"{text}. It is abandoned; it occupies its memory and its GPU until it ends", self.pid)

    def close(self) -> None:
        """Kills the process if it still runs, ends its log and closes the pipes."""
        self.kill()
        self._output.close()
        self._ship()
        if self._shipper is not None:
            death = self.death()
            self._shipper.end(death.message if death else "")
        os.close(self._report)
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                log.debug("the training process did not read its last order")

    def _ship(self) -> None:
        held = self.held()
        if self._shipper is not None and held is not None:  # also after the attempt ended
            self._shipper.ship(partial(log_segment, held.job_id, held.attempt, held.fence), held)

    def held(self) -> Held | None:
        """The child's claim of the attempt that was assigned last."""
        self._read()
        return self._assignment.held if self._assignment else None

    def given_back(self) -> GivenBack | None:
        """How the attempt that was assigned last ended, once the child has ended it."""
        self._read()
        return self._assignment.given_back if self._assignment else None

    def wrong(self) -> WrongProcess | None:
        """The message that the attempt needs a process of the other kind. The child then exits."""
        self._read()
        return self._assignment.wrong if self._assignment else None

    def refused(self) -> bool:
        """Whether the child did not get the attempt that was assigned last. Then it waits for another one."""
        self._read()
        return self._assignment is not None and self._assignment.refused

    def _read(self) -> None:
        for line in self._inbox.read():
            try:
                message = read_message(line)
            except MessageUnreadable as error:
                log.error("%s", error)
                continue
            current = self._assignment
            if isinstance(message, Ready):
                self._ready = message
            elif current is not None and message.attempt_id == current.attempt_id:
                current.take(message)
            else:
                log.warning("training process %d sent a message about another attempt: %s", self._process.pid, message)

    def death(self) -> Death | None:
        """How the process died; None if it still runs or exited with status 0."""
        status = self._process.poll()
        if not status:
            return None
        if status == -signal.SIGKILL and self._oom_kills.any():
            text = f"the kernel killed the training process because memory ran out: {LESS_MEMORY}"
            return Death(Reason.OUT_OF_MEMORY, text)
        if status == -signal.SIGKILL:
            text = "the training process was killed (SIGKILL); the kernel counted no out-of-memory kill"
            return Death(Reason.PROCESS_DIED, text)
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return Death(Reason.PROCESS_DIED, f"{CRASHED} {how}; see the worker's log")
