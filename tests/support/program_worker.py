"""The worker's side of a program's socket, for tests of the library: it keeps messages, and answers as it is told."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from baton.program.message_socket import MessageSocket
from baton.program.protocol import (
    SECRET_VARIABLE,
    SOCKET_VARIABLE,
    Event,
    Hello,
    Log,
    Request,
    Save,
    Step,
    Welcome,
    event_message,
    parse_request,
)
from tests.support.service import ROOT

SECRET = "the secret of this attempt"
SECONDS = 60


class ProgramWorker:
    """Listens on a socket in `folder`. `seen`: all requests in their order, without signs of life.

    `refuse`: answer of an operation -> the text of its error. Saves are moved to `folder/taken/STEP`.
    """

    def __init__(self, folder: Path, **welcome: Any) -> None:
        self.folder = folder
        self.refuse: dict[str, str] = {}
        self.seen: list[Request] = []
        (folder / "staging").mkdir(parents=True)
        (folder / "taken").mkdir()
        self.environment = {SOCKET_VARIABLE: str(folder / "s"), SECRET_VARIABLE: SECRET}
        self._welcome = Welcome("5" * 32, "job", 2, str(folder / "staging"), **welcome)
        self._news: queue.Queue[Request] = queue.Queue()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "s"))
        self._listener.listen()
        self._connection: MessageSocket | None = None
        self._greeted = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a program."""
        own = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT), **environment}
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", code], env=own, stdout=pipe, stderr=pipe, text=True)

    def run(self, code: str, **environment: str) -> tuple[int, str, str]:
        """Runs a program to its end: exit status, output, errors."""
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def send(self, event: Event) -> None:
        """Sends an event when the program has said hello."""
        assert self._greeted.wait(SECONDS)
        assert self._connection is not None
        self._connection.send(event_message(event))

    def next(self, kind: type[Request]) -> Request:
        """Waits for the next request of this kind, and drops those before it."""
        while not isinstance(found := self._news.get(timeout=SECONDS), kind):
            pass
        return found

    def points(self) -> list[tuple[str, int, float]]:
        """All points so far."""
        return [tuple(point[:3]) for one in self.seen if isinstance(one, Log) for point in one.points]

    def close(self) -> None:
        """Closes the socket, as when the worker ends."""
        if self._connection is not None:
            self._connection.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # close alone does not end the accept of the other thread
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = MessageSocket(self._listener.accept()[0])
            except OSError:
                return
            self._one(connection)

    def _one(self, connection: MessageSocket) -> None:
        while (message := connection.receive()) is not None:
            request = parse_request(message)
            if isinstance(request, Step):
                self._news.put(request)
                continue
            answer = self._answer(request)
            if isinstance(request, Hello) and "error" not in answer:
                self._connection = connection
            if "id" in message:
                connection.send({"id": message["id"], **answer})
            self.seen.append(request)
            self._news.put(request)
            if self._connection is connection:
                self._greeted.set()

    def _answer(self, request: Request) -> dict[str, Any]:
        if request.op in self.refuse:
            return {"error": self.refuse[request.op]}
        if isinstance(request, Hello):
            return vars(self._welcome) if request.secret == SECRET else {"error": "wrong secret"}
        if isinstance(request, Save):
            shutil.move(request.folder, self.folder / "taken" / str(request.step))
        return {"ok": True}


@contextmanager
def program_worker(folder: Path, **welcome: Any) -> Iterator[ProgramWorker]:
    """A worker's side that is closed at the end."""
    worker = ProgramWorker(folder, **welcome)
    try:
        yield worker
    finally:
        worker.close()
