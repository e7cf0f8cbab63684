"""The socket to which a program connects. One program at a time, which must know the secret of this attempt."""

from __future__ import annotations

import hmac
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from baton.domain.errors import BatonError
from baton.program.message_socket import MessageSocket
from baton.program.protocol import (
    VERSION,
    Bye,
    Event,
    Hello,
    ProtocolError,
    Request,
    Welcome,
    event_message,
    parse_request,
)

REFUSED = "the secret is not that of this attempt"
SECOND = "another process of this attempt is attached: only one process of a program may call baton.init()"
HELLO_SECONDS = 10.0
_CREDENTIALS = struct.Struct("=iII")
log = logging.getLogger(__name__)


class RequestError(Exception):
    """A request cannot be done. The program gets the text, and says it in an exception."""


class ProgramServer:
    """Listens at `path`, which must not exist, in a folder that only this user can enter.

    `welcome`: makes the answer to a `hello`. `handle`: does a request, in the thread of the connection, and returns
    the fields of the answer; may raise RequestError. What else it raises ends the connection, and then the program.
    """

    def __init__(
        self, path: Path, secret: str, welcome: Callable[[], Welcome], handle: Callable[[Request], dict[str, Any]]
    ) -> None:
        self._secret, self._welcome, self._handle = secret, welcome, handle
        self._lock = threading.Lock()
        self._current: MessageSocket | None = None
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.attached = False
        """Whether a program has ever said hello."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, name="program-socket", daemon=True).start()

    def send(self, event: Event) -> bool:
        """Sends an event to the program. Returns whether one is attached."""
        current = self._current
        if current is None:
            return False
        # A program that does not read its messages must not stop the caller.
        threading.Thread(target=self._send, args=(current, event), name="program-event", daemon=True).start()
        return True

    def drain(self, seconds: float) -> None:
        """Waits until all that an ended program has sent is handled, at most `seconds`."""
        for thread in list(self._threads):
            thread.join(seconds)

    def close(self) -> None:
        """Ends all connections. A program that still runs ends itself then."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        current = self._current
        if current is not None:
            self._send(current, Bye())
            current.close()

    def _send(self, current: MessageSocket, event: Event) -> None:
        with suppress(OSError):
            current.send(event_message(event))

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="program", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        messages = MessageSocket(connection)
        try:
            if _same_user(connection) and self._admit(connection, messages):
                self._answer(messages)
        except ProtocolError as error:
            log.error("the program sent an invalid message: %s", error)
        except OSError as error:
            log.info("the connection to the program ended: %s", error)
        except Exception as error:  # such as LeaseLost: the main thread sees it too
            log.warning("the connection to the program ends: %s", error, exc_info=not isinstance(error, BatonError))
        finally:
            messages.close()
            with self._lock:
                if self._current is messages:
                    self._current = None

    def _admit(self, connection: socket.socket, messages: MessageSocket) -> bool:
        """Whether the first message is a hello with the secret, and no other program is attached."""
        connection.settimeout(HELLO_SECONDS)
        message = messages.receive()
        if message is None:
            return False
        hello = parse_request(message)
        answer: dict[str, Any] = {"id": message.get("id")}
        if not isinstance(hello, Hello) or not hmac.compare_digest(hello.secret.encode(), self._secret.encode()):
            log.warning("a process tried to attach without the secret of this attempt")
            messages.send({**answer, "error": REFUSED})
            return False
        with self._lock:
            first, self._current = self._current is None, self._current or messages
        if not first:
            messages.send({**answer, "error": SECOND})
            return False
        connection.settimeout(None)
        if hello.version != VERSION:
            log.warning("the program uses version %d of the protocol, this worker version %d", hello.version, VERSION)
        self.attached = True
        messages.send({**answer, "ok": True, **vars(self._welcome())})
        return True

    def _answer(self, messages: MessageSocket) -> None:
        while (message := messages.receive()) is not None:
            request, number = parse_request(message), message.get("id")
            try:
                answer = {"ok": True, **self._handle(request)}
            except RequestError as error:
                if number is None:
                    log.warning("the program sent an invalid %s: %s", request.op, error)
                answer = {"error": str(error)}
            if number is not None:
                messages.send({"id": number, **answer})


def _same_user(connection: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(data)[1] == os.getuid())
