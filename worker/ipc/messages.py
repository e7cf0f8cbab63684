"""Messages of a training process to its supervisor: one JSON object per line over a pipe. Both run the same release.

A message about an attempt contains the attempt's id. `Inbox` reads each byte once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType

from baton.domain.protocol_versions import FIRST

CHUNK_BYTES = 4096
KIND_FIELD = "kind"
"""The key of a line that names the class of its message."""


class MessageUnreadable(ValueError):
    """A line is not a message: other code in the process wrote to the pipe."""


@dataclass(frozen=True)
class Ready:
    """The libraries are imported, and the process waits for an attempt. `device`: the device for training. `problem`:
    why it cannot train on that device; a process with a problem takes no attempt.
    """

    device: str
    problem: str | None = None


@dataclass(frozen=True)
class Held:
    """The process claimed the attempt. Calls of the service need `attempt_id` and `fence`. Names of objects in the
    store contain `job_id`, `attempt` and `fence`.

    `token`: authorizes the attempt's calls. `protocol`: the service's version. `store_url`: the store that the service
    hands out; empty if it is older.
    """

    attempt_id: str
    fence: int
    job_id: str
    attempt: int
    token: str | None = field(default=None, repr=False)
    protocol: int = FIRST
    store_url: str = ""


@dataclass(frozen=True)
class NotHeld:
    """The process did not get the attempt. It waits for another one."""

    attempt_id: str


@dataclass(frozen=True)
class WrongProcess:
    """The process claimed an attempt that another kind of process runs, and is about to exit. It started no lease.

    A process that repeats the claim with `claim_id` gets the same grant.
    """

    attempt_id: str
    claim_id: str


@dataclass(frozen=True)
class GivenBack:
    """The process has ended the attempt, and is about to exit.

    `startup`: seconds from the claim to the first step. `handover`: seconds that a hand-over takes. `outcome`,
    `reason`, `fault`: as in the finish message; None if the lease was lost before that.
    """

    attempt_id: str
    startup: float
    handover: float
    outcome: str | None = None
    reason: str | None = None
    fault: str | None = None


Message = Ready | Held | NotHeld | WrongProcess | GivenBack
_KINDS: Mapping[str, type[Message]] = MappingProxyType(
    {"ready": Ready, "held": Held, "not_held": NotHeld, "wrong_process": WrongProcess, "given_back": GivenBack}
)
_NAMES = {kind: name for name, kind in _KINDS.items()}
_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"str": (str,), "str | None": (str, type(None)), "int": (int,), "float": (float, int)}
)


def message_line(message: Message) -> bytes:
    """The line of a message, including the newline."""
    return json.dumps({KIND_FIELD: _NAMES[type(message)], **asdict(message)}).encode() + b"\n"


def read_message(line: bytes) -> Message:
    """The message in a line. Raises MessageUnreadable if its kind, a field or a type is wrong."""
    try:
        values = json.loads(line)
        kind = _KINDS[values.pop(KIND_FIELD)]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise MessageUnreadable(f"not a message of a training process: {line[:200]!r}") from error
    wanted = {one.name: _TYPES[str(one.type)] for one in fields(kind)}
    for name, types in wanted.items():
        if name not in values or not isinstance(values[name], types) or isinstance(values[name], bool):
            raise MessageUnreadable(f"{kind.__name__} has no valid {name}: {line[:200]!r}")
    if unknown := values.keys() - wanted.keys():
        raise MessageUnreadable(f"{kind.__name__} has unknown fields {sorted(unknown)}: {line[:200]!r}")
    return kind(**values)


class Inbox:
    """Reads lines from a non-blocking pipe. Keeps an incomplete line until the rest of it arrives."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._rest = pipe, b""

    def read(self) -> list[bytes]:
        """The lines that were completed since the last call."""
        try:
            while chunk := os.read(self._pipe, CHUNK_BYTES):
                self._rest += chunk
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        return lines
