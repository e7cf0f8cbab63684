"""JSON lines over a connected socket, for the messages of `baton.program.protocol`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from baton.program.call_lock import CallLock
from baton.program.protocol import MAX_LINE, ProtocolError

_READ = 2**16


class MessageSocket:
    """JSON lines over a connected socket. `send` may be called by any thread, `receive` by one thread.

    >>> left, right = (MessageSocket(one) for one in socket.socketpair())
    >>> left.send({"event": "bye"})
    >>> right.receive()
    {'event': 'bye'}
    >>> left.close()
    >>> right.receive() is None
    True
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = bytearray()
        self._lock = CallLock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message. Waits while the other side does not read.

        Raises:
            ValueError: the message is not JSON, or is longer than `MAX_LINE` bytes. Nothing was sent.
            OSError: the connection is closed.
        """
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise ValueError(f"a message has {len(line)} bytes; at most {MAX_LINE} are allowed")
        with self._lock:
            self._socket.sendall(line)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the connection is closed.

        Raises:
            ProtocolError: the line is too long, or is no JSON object.
        """
        line = self._line()
        if line is None:
            return None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise ProtocolError("a message is not JSON") from None
        if not isinstance(message, dict):
            raise ProtocolError("a message is not a JSON object")
        return message

    def _line(self) -> bytes | None:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > MAX_LINE:
                raise ProtocolError(f"a message is longer than {MAX_LINE} bytes")
            try:
                more = self._socket.recv(_READ)
            except OSError:  # reset by the other side, or closed by another thread
                return None
            if not more:
                return None  # closed, perhaps in the middle of a message
            self._received += more
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def close(self) -> None:
        """Ends the connection for both sides, and wakes the thread that receives."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def abandon(self) -> None:
        """Closes the copy of the socket in a process that was forked. The connection of the parent continues."""
        with contextlib.suppress(OSError):
            os.close(self._socket.detach())
