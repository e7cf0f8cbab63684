"""A run below a worker: a connection whose end is the end of the process."""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import shutil
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from baton.program.backend import Mark, Point, Saved, SaveRequest
from baton.program.call_lock import CallLock
from baton.program.control import Control
from baton.program.errors import ProgramError
from baton.program.forks import child_hint
from baton.program.message_socket import MessageSocket
from baton.program.protocol import (
    EXIT_STOPPED,
    POINTS_A_LINE,
    SECRET_VARIABLE,
    SOCKET_VARIABLE,
    Epoch,
    Hello,
    Log,
    Note,
    Progress,
    ProtocolError,
    Publish,
    Request,
    Save,
    SavedState,
    SaveDue,
    Step,
    Stop,
    Stopped,
    Welcome,
    parse_event,
    parsed,
    request_message,
)

_SEND_SECONDS = 0.5
_END_SECONDS = 5.0
"""After a failed send, the receiving thread has this time to end the process."""
_MAX_BUFFERED = 50_000


class AttachedBackend:
    """The connection to the worker.

    One thread receives; it ends the process when the connection closes. One thread sends points and signs of life
    every half a second. Every other message waits until the points before it were sent.

    Raises:
        ProgramError: the worker does not answer, or refuses this process.
    """

    def __init__(self, control: Control, params: Mapping[str, Any]) -> None:
        self._control = control
        self._answers: dict[int, tuple[threading.Event, dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._folders = itertools.count(1)
        self._buffer_lock = CallLock()
        self._send_lock = CallLock()
        self._points: list[Point] = []
        self._progress: Progress | None = None
        self._progress_sent: Progress | None = None
        self._last_point_step: int | None = None
        self._closing = threading.Event()
        _write_stacks_when_asked()
        self._socket = _connected()
        welcome = self._hello()
        self.job: str | None = welcome.job
        self.attempt = welcome.attempt
        self.params = {**params, **welcome.params}
        self._data = welcome.data
        self._staging = Path(welcome.staging)
        self.saved = _saved(welcome)
        self._last_epoch = self.saved.last_epoch if self.saved else None
        threading.Thread(target=self._receive, name="baton-receive", daemon=True).start()
        threading.Thread(target=self._send_regularly, name="baton-send", daemon=True).start()

    def data(self, name: str) -> Path:
        """The path on the worker's machine."""
        if name not in self._data:
            known = ", ".join(sorted(self._data)) or "none"
            raise ProgramError(f"data {name!r}: the job has no such data; it has {known}. Add it to `data` of the spec")
        return Path(self._data[name])

    def log(self, points: list[Point]) -> None:
        """Buffers points. Waits only if the worker has not read for long."""
        with self._buffer_lock:
            self._points += points
            self._last_point_step = max(points[-1][1], self._last_point_step or 0)
        if len(self._points) > _MAX_BUFFERED:
            self._flush()

    def epoch(self, epoch: int, step: int, metrics: dict[str, float]) -> None:
        """Sends the row, and waits for the answer."""
        self._ask(Epoch(epoch, step, metrics))
        self._last_epoch = epoch

    def new_folder(self) -> Path:
        """A folder in the worker's staging folder."""
        folder = self._staging / f"{os.getpid()}-{next(self._folders)}"
        folder.mkdir()
        return folder

    def mark(self) -> Mark:
        """The largest step of the points so far, and the last row."""
        return Mark(self._last_point_step, self._last_epoch)

    def commit(self, folder: Path, save: SaveRequest, mark: Mark, stall: float) -> None:
        """Gives the folder to the worker, which uploads it in the background."""
        try:
            self._ask(
                Save(str(folder), **vars(save), last_point_step=mark.points, last_epoch=mark.last_epoch, stall=stall)
            )
        except ProgramError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def publish(self, name: str, path: Path) -> None:
        """Asks the worker to copy and upload the file."""
        self._ask(Publish(name, str(path.absolute())))

    def progress(self, step: int | None, total: int | None, epoch: int | None, epochs: int | None) -> None:
        """Sent within half a second, unless a later one replaces it."""
        self._progress = Progress(step, total, epoch, epochs)

    def note(self, text: str) -> None:
        """Sent at once."""
        self._flush()
        self._send(request_message(Note(text)))

    def stopped(self, step: int | None) -> None:
        """Sent at once: the process may end now."""
        self._flush()
        self._send(request_message(Stopped(step)))

    def close(self) -> None:
        """Sends what is buffered, and ends the connection. The process continues."""
        self._flush()
        self._send_progress()
        self._closing.set()
        self._socket.close()

    def abandon(self) -> None:
        """Closes the copy of the socket. The threads exist only in the parent."""
        self._socket.abandon()

    def _hello(self) -> Welcome:
        hello = Hello(os.environ.get(SECRET_VARIABLE, ""), os.getpid())
        try:
            self._socket.send(request_message(hello, id=next(self._ids)))
            answer = self._socket.receive() or {"error": "it closed the connection"}
            if "error" not in answer:
                return parsed(Welcome, answer)
            problem = str(answer["error"])
        except (OSError, ProtocolError) as error:
            problem = str(error)
        self._socket.close()
        raise ProgramError(f"the worker does not accept this process: {problem}{child_hint()}")

    def _ask(self, request: Request) -> None:
        """Sends a request after all points before it, and waits for the answer."""
        number, answered, answer = next(self._ids), threading.Event(), dict[str, Any]()
        self._answers[number] = (answered, answer)
        self._flush()
        try:
            self._send(request_message(request, id=number))
        except ValueError as error:
            del self._answers[number]
            raise ProgramError(f"{request.op}: {error}") from None
        answered.wait()
        if "error" in answer:
            raise ProgramError(f"{request.op}: {answer['error']}")

    def _flush(self) -> None:
        with self._send_lock:  # points are sent in their order, whichever thread sends
            with self._buffer_lock:
                points, self._points = self._points, []
            for first in range(0, len(points), POINTS_A_LINE):
                self._send(request_message(Log(points[first : first + POINTS_A_LINE])))

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.send(message)
        except OSError as error:
            # The receiving thread sees the same end and ends the process. No call returns as if it had succeeded.
            # If the program has closed the file descriptor itself, the receiving thread sees nothing.
            if not self._closing.wait(_END_SECONDS):
                _end_process(
                    f"the connection to the worker is broken ({error}). A program must not close files that "
                    "it has not opened"
                )

    def _send_regularly(self) -> None:
        calls = 0
        while not self._closing.wait(_SEND_SECONDS):
            self._flush()
            self._send_progress()
            if self._control.calls != calls:
                calls = self._control.calls
                self._send(request_message(Step(self._control.step, calls)))

    def _send_progress(self) -> None:
        if (progress := self._progress) is not self._progress_sent and progress is not None:
            self._send(request_message(progress))
            self._progress_sent = progress

    def _receive(self) -> None:
        try:
            while (message := self._socket.receive()) is not None:
                self._handle(message)
            problem = "the connection to the worker is closed"
        except ProtocolError as error:
            problem = str(error)
        if not self._closing.is_set():
            _end_process(problem)
        for answered, answer in self._answers.values():
            answer["error"] = "the run was closed before the worker answered"
            answered.set()

    def _handle(self, message: dict[str, Any]) -> None:
        event = parse_event(message)
        if isinstance(event, SaveDue):
            self._control.request_save()
        elif isinstance(event, Stop):
            self._control.request_stop(event)
        elif (found := self._answers.pop(message.get("id", 0), None)) is not None:
            answered, answer = found
            answer.update(message)
            answered.set()


def _end_process(problem: str) -> NoReturn:
    # Written without Python's buffers: another thread may hold their lock.
    with contextlib.suppress(OSError):  # the program has closed its standard error
        os.write(2, f"baton: the program ends: {problem}\n".encode())
    os._exit(EXIT_STOPPED)


def _write_stacks_when_asked() -> None:
    """From now on SIGUSR2, which the worker sends to a stalled program, writes the stacks of all threads to its log."""
    with contextlib.suppress(RuntimeError, ValueError, OSError):  # sys.stderr is no file
        if signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
            faulthandler.register(signal.SIGUSR2, all_threads=True)


def _connected() -> MessageSocket:
    path = os.environ[SOCKET_VARIABLE]
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise ProgramError(
            f"no worker listens at {SOCKET_VARIABLE}={path} ({error}): the attempt has ended. Unset the variable to "
            "run without a worker"
        ) from None
    return MessageSocket(connection)


def _saved(welcome: Welcome) -> Saved | None:
    if welcome.saved is None:
        return None
    state = parsed(SavedState, welcome.saved)
    return Saved(state.step, state.epoch, state.cursor, Path(state.folder), state.last_epoch)
