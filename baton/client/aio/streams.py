"""Follows the events of a job and the log of an attempt. Reconnects after lost connections and restarts. Asynchronous.

Generated from baton/client/streams.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

import asyncio
import codecs
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx

from baton.client.aio.transport import Transport
from baton.client.errors import Unreachable
from baton.client.streams import (
    COMPLETE,
    LOG_SECONDS,
    LOG_WAIT,
    NEXT,
    SILENCE_SECONDS,
    STREAM,
    UNCHANGED,
    FrameParser,
    LogPart,
    _is_log,
    _is_stream,
)
from baton.client.transport import RetryPolicy
from baton.domain.views import EventView, FeedEvent, FeedPage


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

    async def wait(self, error: Unreachable) -> None:
        """Waits before the next try. Raises the error if the service was unavailable for `longest` seconds."""
        if self._tries == 0:
            self._since = time.monotonic()
        self._tries += 1
        if time.monotonic() - self._since >= self.longest:
            raise error
        if self.tell is not None:
            self.tell(error)
        await asyncio.sleep(self.patience.delay(min(self._tries, 10), random.random()))


async def follow_events(transport: Transport, path: str, after: int, outage: Outage) -> AsyncIterator[EventView]:
    """Yields each event once, in order, until the job's last event. Raises ApiError, or Unreachable after an outage."""
    while True:
        try:
            async for event in _connected(transport, path, after):
                outage.over()
                if event is None:
                    return
                after = event.sequence
                yield event
            await outage.wait(Unreachable(transport.url, "the stream was closed"))
        except Unreachable as error:
            await outage.wait(error)


async def _connected(transport: Transport, path: str, after: int) -> AsyncIterator[EventView | None]:
    """The events of one connection, then None after the last event of the job."""
    headers = {"Accept": STREAM, "Last-Event-ID": str(after)}
    async with transport.stream(path, wanted=_is_stream, headers=headers, timeout=SILENCE_SECONDS) as response:
        if response.status_code == httpx.codes.NO_CONTENT:
            yield None
            return
        parser = FrameParser()
        async for chunk in response.aiter_raw():
            for frame in parser.feed(chunk):
                yield None if frame.event == "end" else EventView.model_validate_json(frame.data)


async def follow_feed(transport: Transport, after: int | None, outage: Outage) -> AsyncIterator[FeedEvent]:
    """Yields each event of all jobs once, in order, without an end. None: only new ones.

    Raises ApiError, or Unreachable after an outage.
    """
    if after is None:  # the number of the newest, so that none is missed if the connection is lost before the first
        after = await _newest(transport)
    while True:
        try:
            headers = {"Accept": STREAM, "Last-Event-ID": str(after)}
            async with transport.stream(
                "/v1/events", wanted=_is_stream, headers=headers, timeout=SILENCE_SECONDS
            ) as answer:
                parser = FrameParser()
                async for chunk in answer.aiter_raw():
                    for frame in parser.feed(chunk):
                        outage.over()
                        event = FeedEvent.model_validate_json(frame.data)
                        after = event.number
                        yield event
            await outage.wait(Unreachable(transport.url, "the stream was closed"))
        except Unreachable as error:
            await outage.wait(error)


async def _newest(transport: Transport) -> int:
    answer = await transport.request("GET", "/v1/events", params={"sort": "-number", "limit": 1})
    events = FeedPage.model_validate_json(answer.content).items
    return events[0].number if events else 0


async def read_log(transport: Transport, path: str, offset: int = 0, wait: float = 0.0) -> LogPart:
    """The bytes of the log from `offset` on. Waits up to `wait` seconds if nothing follows `offset` yet."""
    params = {"offset": offset, "wait": wait}
    timeout = max(LOG_SECONDS, wait + 20.0)
    async with transport.stream(path, wanted=_is_log, params=params, timeout=timeout) as response:
        data = await response.aread()
    return LogPart(data, int(response.headers[NEXT]), response.headers[COMPLETE] == "true")


async def follow_log(transport: Transport, path: str, outage: Outage) -> AsyncIterator[str]:
    """Yields the text of a log until it is complete. Raises ApiError, and Unreachable after a long outage."""
    decoder, offset = codecs.getincrementaldecoder("utf-8")("replace"), 0
    while True:
        try:
            part = await read_log(transport, path, offset, LOG_WAIT if offset else 0.0)
        except Unreachable as error:
            await outage.wait(error)
            continue
        outage.over()
        offset = part.end
        if text := decoder.decode(part.data, final=part.complete):
            yield text
        if part.complete:
            return
        if not part.data:
            await asyncio.sleep(UNCHANGED)
