"""The socket of an attempt: one program, with the secret, and errors that name what is wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from baton.program.message_socket import MessageSocket
from baton.program.protocol import Hello, Note, Progress, Request, SaveDue, Step, Stop, Welcome, request_message
from tests.support.gcs import until
from worker.programs.server import REFUSED, SECOND, ProgramServer, RequestError

SECRET = "secret of this attempt"


class Program:
    """Keeps the requests that the server passes on."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def handle(self, request: Request) -> dict[str, Any]:
        self.requests.append(request)
        if isinstance(request, Note) and request.text == "refuse":
            raise RequestError("note: refused")
        if isinstance(request, Note) and request.text == "break":
            raise OSError("the lease is lost")
        return {}


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def server(tmp_path: Path, program: Program) -> Iterator[ProgramServer]:
    running = ProgramServer(tmp_path / "s", SECRET, lambda: Welcome("j", "name", 1, "/staging"), program.handle)
    yield running
    running.close()


@contextmanager
def attached(folder: Path, secret: str = SECRET) -> Iterator[tuple[MessageSocket, dict[str, Any] | None]]:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(folder / "s"))
    messages = MessageSocket(connection)
    messages.send(request_message(Hello(secret, 1), id=1))
    yield messages, messages.receive()
    messages.close()


def test_a_program_with_the_secret_is_attached(server: ProgramServer, tmp_path: Path) -> None:
    with attached(tmp_path) as (messages, answer):
        assert answer is not None
        assert (answer["ok"], answer["job"], answer["staging"]) == (True, "j", "/staging")
        assert server.send(SaveDue())
        assert messages.receive() == {"event": "save_due"}
        assert server.send(Stop("preempted", 5.0))
        assert messages.receive() == {"event": "stop", "why": "preempted", "seconds": 5.0}


@pytest.mark.parametrize("secret", ["", "secret of another attempt"])
def test_a_process_without_the_secret_gets_nothing(server: ProgramServer, tmp_path: Path, secret: str) -> None:
    with attached(tmp_path, secret) as (messages, answer):
        assert answer == {"id": 1, "error": REFUSED}
        assert messages.receive() is None
        assert not server.attached


def test_a_second_process_is_refused_until_the_first_has_left(server: ProgramServer, tmp_path: Path) -> None:
    with attached(tmp_path), attached(tmp_path) as (_, answer):
        assert answer == {"id": 1, "error": SECOND}
    until(lambda: not server.send(SaveDue()), 30, "the first to have left")
    with attached(tmp_path) as (_, again):
        assert again is not None
        assert again["ok"]


def test_a_request_before_hello_ends_the_connection(server: ProgramServer, tmp_path: Path, program: Program) -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(tmp_path / "s"))
    messages = MessageSocket(connection)
    messages.send(request_message(Progress(step=3), id=1))
    assert messages.receive() == {"id": 1, "error": REFUSED}
    assert messages.receive() is None
    assert program.requests == []
    messages.close()


def test_requests_are_handled_in_order_and_errors_are_answers(
    server: ProgramServer, tmp_path: Path, program: Program
) -> None:
    with attached(tmp_path) as (messages, _):
        messages.send(request_message(Step(1, 1)))
        messages.send(request_message(Note("refuse"), id=2))
        messages.send(request_message(Note("fine"), id=3))
        assert messages.receive() == {"id": 2, "error": "note: refused"}
        assert messages.receive() == {"id": 3, "ok": True}
    assert program.requests == [Step(1, 1), Note("refuse"), Note("fine")]


@pytest.mark.parametrize("line", [b"no json\n", b'{"op": "dance"}\n', b'{"op": "note", "id": 4}\n'])
def test_an_invalid_message_ends_the_connection(server: ProgramServer, tmp_path: Path, line: bytes) -> None:
    with attached(tmp_path) as (messages, _):
        messages._socket.sendall(line)
        assert messages.receive() is None


def test_the_connection_ends_when_the_attempt_does(server: ProgramServer, tmp_path: Path) -> None:
    with attached(tmp_path) as (messages, _):
        messages.send(request_message(Note("break"), id=2))
        assert messages.receive() is None  # the library then ends the program
