"""Raw bytes on a connection to the service, which HTTP libraries would not send."""

from __future__ import annotations

import select
import socket
import time
from types import TracebackType
from typing import Self

from tests.support.service import TOKEN, ServiceProcess

SLOW_SECONDS = 4.0
WAIT_SECONDS = 60.0
BEARER = f"Authorization: Bearer {TOKEN}"


class Wire:
    """One connection."""

    def __init__(self, service: ServiceProcess, *lines: str, body: bytes = b"") -> None:
        """`lines`: a complete head, which is sent immediately. Without lines nothing is sent yet."""
        self._socket = socket.create_connection(("127.0.0.1", service.port), WAIT_SECONDS)
        if lines:
            self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """The next bytes. They are empty after the other side has closed the connection."""
        try:
            return self._socket.recv(1 << 16)
        except ConnectionError:
            return b""

    def rest(self) -> bytes:
        """All bytes until the service closes the connection."""
        found = b""
        while chunk := self.receive():
            found += chunk
        return found

    def answered(self) -> bool:
        """Whether bytes have arrived."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def drip(self, piece: bytes, seconds: float = WAIT_SECONDS) -> bytes:
        """Send a piece repeatedly until the service responds or closes, and return the response."""
        self._socket.settimeout(SLOW_SECONDS / 8)
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            try:
                self.send(piece)
                return self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionError:
                return b""
        raise AssertionError(f"the service did not respond or close the connection within {seconds} s")


def ask(service: ServiceProcess, *lines: str, body: bytes = b"") -> tuple[int, str]:
    """The status and the whole response. The status is 0 if there is none."""
    with Wire(service, *lines, "Connection: close", body=body) as wire:
        answer = wire.rest().decode("latin-1")
    return int(answer.split(" ", 2)[1]) if answer else 0, answer
