"""The training process: a fresh interpreter that waits warm, is given one attempt, and dies with its parent."""

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
from baton.domain.policies import Reason
from worker.failure_texts import CRASHED, LESS_MEMORY
from worker.ipc.messages import (
    GivenBack,
    Held,
    Inbox,
    MessageUnreadable,
    NotHeld,
    Ready,
    read_message,
)
from worker.ipc.orders import notice_line, order_line
from worker.ipc.progress import Seen, SharedCell
from worker.ipc.stacks import write_stacks
from worker.log_shipping.process_output import Output
from worker.log_shipping.shipper import Shipper
from worker.preemption.deadline import Deadline
from worker.preemption.notice import NoticeDetails
from worker.supervisor.oom import (
    OomKills,
)
from worker.supervisor.process_tree import ProcessTree, descendants

TRAINER = "worker.training"
SPEAKING = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
"""A line that was printed outlives its process, and a native crash says where it was."""
KILL_SECONDS = 10.0
"""How long the kernel may take to end a killed process. It does not end one in an uninterruptible sleep."""
"""So begins the word of a death that nobody brought about from outside."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Death:
    """How a training process ended without giving its attempt back."""

    reason: Reason
    message: str


@dataclass
class Assignment:
    """The attempt that the process was given last, and what the process said about it since then."""

    attempt_id: str
    held: Held | None = None
    given_back: GivenBack | None = None
    refused: bool = False

    def take(self, message: Held | NotHeld | GivenBack) -> None:
        """Keep a message about this attempt."""
        match message:
            case Held():
                self.held = message
            case NotHeld():
                self.refused = True
            case GivenBack():
                self.given_back = message


class TrainingProcess:
    """A child process for one attempt. It imports TensorFlow before it gets one, so that taking over is quick.

    `module`: what it runs, `worker.training` or another that calls `worker.training.process.serve`. What it says
    appears on our own stderr, and `shipper` gets it; without one it goes nowhere else.
    """

    def __init__(self, module: str = TRAINER, shipper: Shipper | None = None) -> None:
        self._oom_kills = OomKills()
        self._shipper = shipper
        self._output = Output(shipper.hear, shipper.show) if shipper else Output(lambda _data: None)
        self._report, child_end = os.pipe()
        self._cell = SharedCell()
        self.abandoned = False
        command = [sys.executable, "-m", module, str(os.getpid()), str(child_end), str(self._cell.descriptor)]
        # The same process group as the worker: whatever kills the group leaves no half behind.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._output.fileno(),
            stderr=self._output.fileno(),
            pass_fds=(child_end, self._cell.descriptor),
            text=True,
            env={**os.environ, **SPEAKING},
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
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has imported what it needs."""
        self._read()
        return self._ready is not None

    @property
    def device(self) -> str | None:
        """What it trains on, once it is ready."""
        self._read()
        return self._ready.device if self._ready else None

    @property
    def busy(self) -> bool:
        """Whether it has an attempt. Only a process that said that it did not get its attempt can take another one."""
        return self._assignment is not None and not self._assignment.refused

    @property
    def problem(self) -> str | None:
        """Why it cannot train on its device, once it is ready. None if it can."""
        self._read()
        return self._ready.problem if self._ready else None

    def assign(self, attempt_id: str, deadline: Deadline | None = None) -> None:
        """Hands the attempt over; the child claims it, and hands it over before the deadline.

        Raises RuntimeError if the child has an attempt.
        """
        self._read()  # what it said until now is about attempts before this one
        if self.busy:
            raise RuntimeError(f"training process {self._process.pid} has an attempt and cannot take {attempt_id}")
        self._assignment = Assignment(attempt_id)
        self._order(order_line(attempt_id, deadline))
        log.info("attempt %s goes to training process %d", attempt_id, self._process.pid)

    def notify(self, word: NoticeDetails) -> None:
        """Hands a preemption notice on: the child ends its step, saves, and gives the attempt back.

        May be called by a signal handler, whatever it interrupts.
        """
        try:
            self._order(notice_line(word))
        except (OSError, ValueError) as error:  # its pipe may be closed by now
            log.debug("the training process ended before it heard the notice: %s", error)

    def _order(self, line: str) -> None:
        if self._process.stdin is None:  # pragma: no cover - PIPE makes it
            raise RuntimeError("the training process has no standard input")
        # One write, shorter than what a pipe takes at once: no order mixes with that of a signal handler.
        os.write(self._process.stdin.fileno(), line.encode() + b"\n")

    def wait(self, seconds: float) -> bool:
        """Whether the process has ended, after `seconds` or as soon as it says something or ends.

        Its log is shipped from the first call that finds it holding.
        """
        happened = select.poll()
        happened.register(self._report, select.POLLIN)
        if any(what & select.POLLHUP for _, what in happened.poll(seconds * 1000)):
            with suppress(subprocess.TimeoutExpired):  # its end of the pipe is closed: it is about to end
                self._process.wait(seconds)
        self._ship()
        return not self.alive

    def progress(self) -> Seen:
        """How far it is, by its own words."""
        return self._cell.seen()

    def write_stacks(self) -> str:
        """Writes the stacks of its threads into its log; the innermost Python frame of its main thread, if known."""
        output = self._output
        return write_stacks(self.pid, descendants(self.pid), output.fileno(), output.read, output.size)

    def kill(self) -> None:
        """Ends it at once, with all that it has started, and reaps it.

        `abandoned` is true afterwards if the kernel does not let it go: what it holds stays taken.
        """
        if self.abandoned or not self.alive:
            return
        family = ProcessTree(self.pid)
        self._process.kill()
        family.kill()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            self.abandoned = True
            text = "training process %d was killed and has not ended: it waits in the kernel, as for a hanging mount"
            log.error(f"{text}. It is left behind; its memory and its GPU stay taken until it ends", self.pid)

    def close(self) -> None:
        """Kills what still runs, ends its log and closes the pipes."""
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
                log.debug("the training process did not read its last line")

    def _ship(self) -> None:
        held = self.held()
        if self._shipper is not None and held is not None:  # given back or not
            self._shipper.ship(partial(log_segment, held.job_id, held.attempt, held.fence))

    def held(self) -> Held | None:
        """What the child has claimed of the attempt that it was given last."""
        self._read()
        return self._assignment.held if self._assignment else None

    def given_back(self) -> GivenBack | None:
        """How the attempt that it was given last ended, once the child has given it back."""
        self._read()
        return self._assignment.given_back if self._assignment else None

    def refused(self) -> bool:
        """Whether the child did not get the attempt that it was given last; it waits for another one then."""
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
                log.warning("not about the attempt that training process %d has: %s", self._process.pid, message)

    def death(self) -> Death | None:
        """How the process died; None if it runs, or gave its attempt back."""
        status = self._process.poll()
        if not status:
            return None
        if status == -signal.SIGKILL and self._oom_kills.any():
            text = f"the kernel killed the training process because memory ran out: {LESS_MEMORY}"
            return Death(Reason.OUT_OF_MEMORY, text)
        if status == -signal.SIGKILL:
            text = "the training process was killed (SIGKILL); the kernel counted no kill for want of memory"
            return Death(Reason.PROCESS_DIED, text)
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return Death(Reason.PROCESS_DIED, f"{CRASHED} {how}; the worker's log says more")
