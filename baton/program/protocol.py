"""Messages between a program and the worker that runs it. Both sides use this module.

It needs the standard library only. `baton.program.message_socket` sends and receives the messages.

The worker listens on a Unix socket. Its path is in BATON_PROGRAM_SOCKET. A program connects once and sends `hello` with
the text of BATON_PROGRAM_SECRET. Each message is one JSON object in one line of UTF-8, at most `MAX_LINE` bytes.

- Request: `{"id": 7, "op": "save", ...}`. The answer is `{"id": 7, "ok": true, ...}` or `{"id": 7, "error": "text"}`.
  The fields of an operation are the fields of its class below.
- Message without an answer: the same without `id` (`log`, `step`, `stopped`).
- Event of the worker: `{"event": "stop", ...}`.

The worker handles the messages of a program in their order. Points and rows that belong to a checkpoint are always sent
before its `save`. A `save` names the last of them, because later ones may be sent before it too.

When the socket closes, the library ends the program with `EXIT_STOPPED`: nothing continues without its attempt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

VERSION = 1
SOCKET_VARIABLE = "BATON_PROGRAM_SOCKET"
SECRET_VARIABLE = "BATON_PROGRAM_SECRET"  # noqa: S105 - the name of a variable
EXIT_STOPPED = 75
"""Exit status of a program that stopped because its attempt ended or had to stop (EX_TEMPFAIL of sysexits.h)."""
MAX_LINE = 4 * 2**20
MAX_CURSOR = 2**20
"""Bytes of a cursor as JSON."""
POINTS_A_LINE = 2000

PREEMPTED, PAUSED, CANCELLED, MAX_RUNTIME = "preempted", "paused", "cancelled", "max_runtime"

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
    "list[Any]": (list,),
    "dict[str, Any]": (dict,),
    "dict[str, Any] | None": (dict, type(None)),
    "dict[str, str]": (dict,),
    "dict[str, float]": (dict,),
    "bool": (bool,),
}


class ProtocolError(Exception):
    """The other side sent something that this protocol does not allow. The connection must be closed."""


@dataclass(frozen=True)
class Hello:
    """The first message of a program. Answer: `Welcome`. The worker refuses a wrong secret and a second program."""

    op: ClassVar[str] = "hello"
    secret: str
    pid: int
    version: int = VERSION


@dataclass(frozen=True)
class Welcome:
    """Answer to `hello`.

    `job`: its id. `attempt`: its number in the job, from 1. `params`: of the spec. `data`: name -> folder or file.
    `saved`: the fields of `SavedState`, or None for a start from the beginning.
    `staging`: an empty folder in which the library makes the folders of saves. It is on the same file system as the
    folder into which the worker moves them.
    """

    job: str
    name: str
    attempt: int
    staging: str
    params: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    saved: dict[str, Any] | None = None
    version: int = VERSION


@dataclass(frozen=True)
class SavedState:
    """The checkpoint from which the program continues. `folder`: its files. Program and worker only read them.

    `last_epoch`: the epoch of the last history row that belongs to it.
    """

    step: int
    epoch: int
    cursor: dict[str, Any]
    folder: str
    last_epoch: int | None = None


@dataclass(frozen=True)
class Log:
    """Points of series: `[name, step, value, unix seconds]` each, at most `POINTS_A_LINE`. Sent without `id`."""

    op: ClassVar[str] = "log"
    points: list[Any]


@dataclass(frozen=True)
class Epoch:
    """A row of the history. `epoch` increases from row to row. `step`: steps finished."""

    op: ClassVar[str] = "epoch"
    epoch: int
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Save:
    """A folder in `staging` that is complete. The worker moves it away before it answers, and owns it from then on.

    `step`: steps finished; at least the step of the previous save. `cursor`: any JSON object, at most `MAX_CURSOR`.
    `metrics`: of the state, as in a row. `last_point_step`: the largest step of the points that belong to it, None
    without points. `last_epoch`: the epoch of the last row that belongs to it, None without rows. `stall`: seconds for
    which the save stopped the training, None if unknown.
    """

    op: ClassVar[str] = "save"
    folder: str
    step: int
    epoch: int
    cursor: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    last_point_step: int | None = None
    last_epoch: int | None = None
    stall: float | None = None


@dataclass(frozen=True)
class Publish:
    """A file becomes an artifact with this name. The worker has its own copy when it answers."""

    op: ClassVar[str] = "publish"
    name: str
    path: str


@dataclass(frozen=True)
class Progress:
    """How far the program is, for the dashboard and the estimate of the end. None: unknown."""

    op: ClassVar[str] = "progress"
    step: int | None = None
    total: int | None = None
    epoch: int | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class Note:
    """A line for the events of the job."""

    op: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Step:
    """Sign of life, at most one a second, only if something changed. Sent without `id`.

    `step`: the largest step that the program named so far. `calls`: number of `log`, `save_due` and `check` calls so
    far. A program whose `calls` do not change for long is stalled.
    """

    op: ClassVar[str] = "step"
    step: int | None
    calls: int


@dataclass(frozen=True)
class Stopped:
    """`check()` raises Stopped now. Sent without `id`. After it, exit status 0 does not mean that the job succeeded."""

    op: ClassVar[str] = "stopped"
    step: int | None


Request = Hello | Log | Epoch | Save | Publish | Progress | Note | Step | Stopped
_REQUESTS: tuple[type[Request], ...] = (Hello, Log, Epoch, Save, Publish, Progress, Note, Step, Stopped)


@dataclass(frozen=True)
class SaveDue:
    """Event: the program should save at its next step."""

    event: ClassVar[str] = "save_due"


@dataclass(frozen=True)
class Stop:
    """Event: the program must save and stop. `why`: one of the four constants. `seconds`: time left, None: unknown."""

    event: ClassVar[str] = "stop"
    why: str
    seconds: float | None = None


@dataclass(frozen=True)
class Bye:
    """Event: the worker is going to close the socket."""

    event: ClassVar[str] = "bye"


Event = SaveDue | Stop | Bye
_EVENTS: tuple[type[Event], ...] = (SaveDue, Stop, Bye)
_T = TypeVar("_T")


def request_message(request: Request, id: int | None = None) -> dict[str, Any]:
    """The message of a request. `id`: None if no answer is wanted.

    >>> request_message(Note("warm-up done"), id=3)
    {'id': 3, 'op': 'note', 'text': 'warm-up done'}
    """
    return {**({} if id is None else {"id": id}), "op": request.op, **vars(request)}


def parse_request(message: Mapping[str, Any]) -> Request:
    """The request in a message of the program.

    >>> parse_request({"op": "note", "text": "warm-up done"})
    Note(text='warm-up done')

    Raises:
        ProtocolError: an unknown operation, or a field that is missing or has a wrong type. Unknown fields are ignored.
    """
    for kind in _REQUESTS:
        if message.get("op") == kind.op:
            return parsed(kind, message)
    raise ProtocolError(f"unknown operation {message.get('op')!r}")


def event_message(event: Event) -> dict[str, Any]:
    """The message of an event."""
    return {"event": event.event, **vars(event)}


def parse_event(message: Mapping[str, Any]) -> Event | None:
    """The event in a message of the worker; None if this version does not know it, or if it is an answer."""
    for kind in _EVENTS:
        if message.get("event") == kind.event:
            return parsed(kind, message)
    return None


def parsed(kind: type[_T], message: Mapping[str, Any]) -> _T:
    """A message as an instance of its class. Unknown fields are ignored.

    >>> parsed(SavedState, {"step": 8, "epoch": 0, "cursor": {}, "folder": "/tmp/f"}).step
    8

    Raises:
        ProtocolError: a field is missing or has a wrong type.
    """
    values = {}
    for one in fields(kind):  # type: ignore[arg-type]
        if one.name not in message:
            continue
        value = message[one.name]
        if not isinstance(value, _TYPES[str(one.type)]) or (isinstance(value, bool) and one.type != "bool"):
            raise ProtocolError(f"{kind.__name__.lower()}.{one.name}: must be {one.type}, not {type(value).__name__}")
        values[one.name] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise ProtocolError(f"{kind.__name__.lower()}: {error}") from None


def is_point(value: object) -> bool:
    """Whether a value is a point of a series: `[name, step, finite number, unix seconds]`."""
    match value:
        case [str(), int() as step, int() | float() as number, int() | float() as at]:
            return not isinstance(step, bool) and math.isfinite(number) and math.isfinite(at)
    return False
