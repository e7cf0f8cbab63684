"""Follows the events of a job and the log of an attempt. Reconnects after lost connections and restarts."""

from __future__ import annotations

import codecs
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from baton.client.errors import Unreachable
from baton.client.transport import RetryPolicy, Transport
from baton.domain.http_problems import media_type
from baton.domain.views import EventView, FeedEvent, FeedPage

SILENCE_SECONDS = 45.0
"""Read timeout of a stream: three times the longest silence of the service."""

OUTAGE = 600.0
"""Seconds for which the methods that follow something wait for an unavailable service."""

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


class FrameParser:
    """Takes an event stream apart, in chunks of any size. Comments and an incomplete last message are skipped.

    Lines end with LF or CRLF only: other characters that `str.splitlines` splits at are content.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def feed(self, chunk: bytes) -> list[Frame]:
        """The messages that end in this chunk.

        >>> parser = FrameParser()
        >>> parser.feed(b"event: end\\nda"), parser.feed(b"ta: {}\\n\\n: comment\\n\\n")
        ([], [Frame(event='end', data='{}')])
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [frame for line in lines if (frame := self._take(line.removesuffix(b"\r"))) is not None]

    def _take(self, line: bytes) -> Frame | None:
        if line:
            name, _, value = line.decode("utf-8", "replace").partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        return Frame(fields.get("event", ["message"])[-1], "\n".join(fields["data"])) if "data" in fields else None


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
        parser = FrameParser()
        for chunk in response.iter_raw():
            for frame in parser.feed(chunk):
                yield None if frame.event == "end" else EventView.model_validate_json(frame.data)


def follow_feed(transport: Transport, after: int | None, outage: Outage) -> Iterator[FeedEvent]:
    """Yields each event of all jobs once, in order, without an end. None: only new ones.

    Raises ApiError, or Unreachable after an outage.
    """
    if after is None:  # the number of the newest, so that none is missed if the connection is lost before the first
        after = _newest(transport)
    while True:
        try:
            headers = {"Accept": STREAM, "Last-Event-ID": str(after)}
            with transport.stream("/v1/events", wanted=_is_stream, headers=headers, timeout=SILENCE_SECONDS) as answer:
                parser = FrameParser()
                for chunk in answer.iter_raw():
                    for frame in parser.feed(chunk):
                        outage.over()
                        event = FeedEvent.model_validate_json(frame.data)
                        after = event.number
                        yield event
            outage.wait(Unreachable(transport.url, "the stream was closed"))
        except Unreachable as error:
            outage.wait(error)


def _newest(transport: Transport) -> int:
    answer = transport.request("GET", "/v1/events", params={"sort": "-number", "limit": 1})
    events = FeedPage.model_validate_json(answer.content).items
    return events[0].number if events else 0


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
