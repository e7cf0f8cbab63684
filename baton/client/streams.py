"""Follows the events of a job and the log of an attempt. Reconnects after lost connections and restarts."""

from __future__ import annotations

import codecs
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import httpx

from baton.client.errors import Unreachable
from baton.client.transport import RetryPolicy, Transport
from baton.domain.http_problems import media_type
from baton.domain.views import EventView

SILENCE_SECONDS = 45.0
"""Read timeout of a stream: three times the longest silence of the service."""

LOG_WAIT = 20.0
LOG_SECONDS = 60.0
UNCHANGED = 0.1  # seconds to wait after an empty answer, if the service has answered at once
STREAM = "text/event-stream"
NEXT, COMPLETE = "Baton-Next-Offset", "Baton-Complete"


@dataclass
class Outage:
    """Waits between retries while the service is unavailable, with backoff. `longest`: seconds until it gives up."""

    longest: float
    tell: Callable[[Unreachable], None] | None = None
    patience: RetryPolicy = field(default_factory=RetryPolicy)
    _tries: int = 0
    _since: float = 0.0

    def over(self) -> None:
        """Ends the outage: the service has answered."""
        self._tries = 0

    def wait(self, error: Unreachable) -> None:
        """Waits before the next try. Raises the error if the service was unavailable for `longest` seconds."""
        if self._tries == 0:
            self._since = time.monotonic()
        self._tries += 1
        if time.monotonic() - self._since >= self.longest:
            raise error
        if self.tell is not None:
            self.tell(error)
        time.sleep(self.patience.delay(min(self._tries, 10), random.random()))  # noqa: S311 - jitter is no secret


@dataclass(frozen=True)
class Frame:
    """One message of an event stream."""

    event: str
    data: str


def frames(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """The messages of an event stream, from chunks of any size. Comments and an incomplete last message are skipped.

    Lines end with LF or CRLF only: other characters that `str.splitlines` splits at are content.

    >>> list(frames([b"event: end\\nda", b"ta: {}\\n\\n: comment\\n\\n"]))
    [Frame(event='end', data='{}')]
    """
    fields: dict[str, list[str]] = {}
    for line in _lines(chunks):
        if not line:
            if "data" in fields:
                yield Frame(fields.get("event", ["message"])[-1], "\n".join(fields["data"]))
            fields = {}
            continue
        name, _, value = line.decode("utf-8", "replace").partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


def follow_events(transport: Transport, path: str, after: int, outage: Outage) -> Iterator[EventView]:
    """Yields each event once, in order, until the job's last event. Raises ApiError, or Unreachable after an outage."""
    while True:
        try:
            for event in _connected(transport, path, after):
                outage.over()
                if event is None:
                    return
                after = event.sequence
                yield event
            outage.wait(Unreachable(transport.url, "the stream was closed"))
        except Unreachable as error:
            outage.wait(error)


def _connected(transport: Transport, path: str, after: int) -> Iterator[EventView | None]:
    """The events of one connection, then None after the last event of the job."""
    headers = {"Accept": STREAM, "Last-Event-ID": str(after)}
    with transport.stream(path, wanted=_is_stream, headers=headers, timeout=SILENCE_SECONDS) as response:
        if response.status_code == httpx.codes.NO_CONTENT:
            yield None
            return
        for frame in frames(response.iter_raw()):
            yield None if frame.event == "end" else EventView.model_validate_json(frame.data)


def _is_stream(response: httpx.Response) -> bool:
    kind = media_type(response.headers.get("Content-Type"))
    return response.status_code == httpx.codes.NO_CONTENT or kind == STREAM


def _is_log(response: httpx.Response) -> bool:
    return NEXT in response.headers and COMPLETE in response.headers


@dataclass(frozen=True)
class LogPart:
    """A part of a log. `end`: the offset of the next part. `complete`: the log has no more bytes after this part."""

    data: bytes
    end: int
    complete: bool


def read_log(transport: Transport, path: str, offset: int = 0, wait: float = 0.0) -> LogPart:
    """The bytes of the log from `offset` on. Waits up to `wait` seconds if nothing follows `offset` yet."""
    params = {"offset": offset, "wait": wait}
    timeout = max(LOG_SECONDS, wait + 20.0)
    with transport.stream(path, wanted=_is_log, params=params, timeout=timeout) as response:
        data = response.read()
    return LogPart(data, int(response.headers[NEXT]), response.headers[COMPLETE] == "true")


def follow_log(transport: Transport, path: str, outage: Outage) -> Iterator[str]:
    """Yields the text of a log until it is complete. Raises ApiError, and Unreachable after a long outage."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")("replace"), 0
    while True:
        try:
            part = read_log(transport, path, offset, LOG_WAIT if offset else 0.0)
        except Unreachable as error:
            outage.wait(error)
            continue
        outage.over()
        offset = part.end
        if text := decoder.decode(part.data, final=part.complete):
            yield text
        if part.complete:
            return
        if not part.data:
            time.sleep(UNCHANGED)
