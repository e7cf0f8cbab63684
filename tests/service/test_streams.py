"""Events as a stream, read from a real service over real connections: no event is missing or repeated, wherever the
connection is cut.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.helpers import STREAM, Api, WorkerHand, assert_problem, bearer, eventually
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.service import TOKEN, ServiceProcess, running_service

pytestmark = pytest.mark.process

BIG = {"x": "y" * 15_000}


class Stream:
    """A reader with its own socket. It sends HTTP/1.0 requests, so that the body has no chunks."""

    def __init__(
        self, url: httpx.URL, job_id: str | None, last: int | None = None, query: str = "", token: str = TOKEN
    ) -> None:
        """`job_id`: None for the events of all jobs."""
        self._socket = socket.socket()
        self._socket.settimeout(60)
        # A small buffer, so that the service soon notices a reader that stops.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._socket.connect((url.host, url.port or 80))
        resume = "" if last is None else f"Last-Event-ID: {last}\r\n"
        path = "/v1/events" if job_id is None else f"/v1/jobs/{job_id}/events"
        self._socket.sendall(
            f"GET {path}{query} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Accept: text/event-stream\r\n{resume}\r\n".encode()
        )
        self._text = b""
        self.head: bytes | None = None

    def read(self, size: int = 65_536) -> bool:
        """Reads some bytes. False at the end of the stream."""
        with contextlib.suppress(ConnectionResetError):
            if chunk := self._socket.recv(size):
                self._text += chunk
                if self.head is None and b"\r\n\r\n" in self._text:
                    self.head, _, self._text = self._text.partition(b"\r\n\r\n")
                return True
        return False

    def frames(self) -> list[dict[str, str]]:
        """The complete frames that have arrived since the last call."""
        if self.head is None:
            return []
        *whole, self._text = self._text.split(b"\n\n")
        return [dict(line.split(": ", 1) for line in one.decode().split("\n") if line) for one in whole]

    def events(self) -> Iterator[dict[str, Any]]:
        for frame in self.frames():
            if "id" in frame:
                event = json.loads(frame["data"])
                number = event.get("number", event["sequence"])
                assert (frame["id"], frame["event"]) == (str(number), event["kind"])
                yield event
            elif "event" in frame:
                yield {"kind": frame["event"], **json.loads(frame["data"])}

    def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        found = list(self.events())
        while not condition(found) and self.read():
            found += self.events()
        assert condition(found), found[-3:]
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def process(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, postgres_server: PostgresServer
) -> Iterator[ServiceProcess]:
    """A service on PostgreSQL with two connections: a stream that holds a connection makes the tests fail."""
    folder = tmp_path_factory.mktemp("streams")
    name = postgres_server.create()
    settings = {"BATON_DATABASE_URL": postgres_server.url(name), "BATON_DATABASE_CONNECTIONS": "2"}
    with running_service(folder, redis_server.url, **settings) as service:
        yield service


@pytest.fixture
def live(process: ServiceProcess) -> Iterator[Api]:
    with process.client() as http:
        yield Api(http)


def ended(events: list[dict[str, Any]]) -> bool:
    return bool(events) and events[-1]["kind"] == "end"


def test_it_replays_follows_and_ends(live: Api) -> None:
    hand = live.claim(live.submit()["id"])
    stream = Stream(live.http.base_url, hand.job_id)
    first = [e["kind"] for e in stream.until(lambda events: any(e["kind"] == "claimed" for e in events))]
    # On a busy machine, the reconciler dispatches the attempt before the claim.
    assert [kind for kind in first if kind != "dispatched"] == ["submitted", "queued", "claimed"]
    assert stream.head is not None
    for line in (b"text/event-stream; charset=utf-8", b"cache-control: private, no-cache", b"x-accel-buffering: no"):
        assert line in stream.head
    hand.beat("training")
    hand.note()
    got = stream.until(lambda events: len(events) >= 2)
    assert [e["kind"] for e in got] == ["started", "hello"]
    hand.finish("succeeded")
    got = stream.until(ended)
    page = live.items(hand.job_id, "events")
    assert got[:-1] == page[-len(got) + 1 :]
    assert got[-2]["kind"] == "succeeded"
    assert got[-1] == {"kind": "end", "status": "succeeded"}
    assert not stream.read()  # the service closes the connection
    stream.close()


def test_it_ends_when_its_token_is_revoked(live: Api) -> None:
    hand, reader = live.running(), live.token("read")
    stream = Stream(live.http.base_url, hand.job_id, token=reader["token"])
    stream.until(lambda events: len(events) >= 4)
    assert live.http.post(f"/v1/tokens/{reader['id']}/revoke").status_code == 200
    hand.note()
    while stream.read():
        pass
    assert list(stream.events()) == []
    stream.close()
    with httpx.Client(base_url=live.http.base_url, headers=bearer(reader["token"])) as http:
        assert_problem(http.get(f"/v1/jobs/{hand.job_id}/events", headers=STREAM), 401, "unauthorized")


def test_who_has_seen_the_end_is_told_not_to_come_again(live: Api) -> None:
    hand = live.running()
    hand.finish("succeeded")
    page = live.items(hand.job_id, "events")
    last = page[-1]["sequence"]
    path = f"/v1/jobs/{hand.job_id}/events"
    answer = live.http.get(path, headers={**STREAM, "Last-Event-ID": str(last)})
    assert (answer.status_code, answer.content) == (204, b"")
    assert live.http.get(path, headers=STREAM, params={"after": last}).status_code == 204
    stream = Stream(live.http.base_url, hand.job_id, last=last - 2, query="?after=1")
    assert [e.get("sequence") for e in stream.until(ended)] == [last - 1, last, None]
    stream.close()


class Writer:
    """Writes events, one after the other and through outages, until the job has ended."""

    def __init__(self, hand: WorkerHand, notes: int) -> None:
        self._hand, self._notes = hand, notes
        self.written = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for n in range(self._notes):
            self._insist(
                lambda n=n: self._hand.post("notes", kind="hello", message=f"{n} \u2028 \x85 {'é' * (n % 500)}")
            )
            self.written = n + 1
        self._insist(lambda: self._hand.finish("succeeded"))

    def _insist(self, call: Callable[[], httpx.Response]) -> None:
        def tried() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return call().status_code < 300
            return False

        eventually(tried)


@pytest.mark.parametrize("seed", range(3))
def test_cut_anywhere_and_resumed_it_has_no_gap_and_no_double(live: Api, process: ServiceProcess, seed: int) -> None:
    draw = random.Random(seed)
    hand = live.running()
    writer, restart_at = Writer(hand, 80), draw.randrange(10, 60)
    seen: list[dict[str, Any]] = []
    cuts = 0
    while not ended(seen):
        if seed < 2 and writer.written > restart_at:
            process.kill() if seed else process.terminate()
            process.start()
            restart_at = 10_000
        last = seen[-1]["sequence"] if seen else None
        try:
            stream = Stream(live.http.base_url, hand.job_id, last)
        except ConnectionError:
            continue
        left = draw.choice([1, 200, 1_500, 6_000])
        while left > 0 and stream.read(min(left, 1024)) and not ended(seen):
            left -= 1024
            seen += stream.events()
        stream.close()
        cuts += 1
        if stream.head is not None and b" 204 " in stream.head:
            break  # the connection was cut between the last event and the end: 204 says that nothing follows
    writer.thread.join()
    assert cuts > 5
    assert [e for e in seen if e["kind"] != "end"] == live.items(hand.job_id, "events?limit=1000")


def threads_of(process: ServiceProcess) -> int:
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])


def files_of(process: ServiceProcess) -> int:
    assert process.process is not None
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


def test_two_hundred_streams_cost_no_thread_and_no_connection(live: Api, process: ServiceProcess) -> None:
    hand = live.running()
    live.items(hand.job_id, "events")
    files = files_of(process)
    streams = [Stream(live.http.base_url, hand.job_id) for _ in range(200)]
    for stream in streams:
        stream.until(lambda events: len(events) >= 4)
    assert threads_of(process) < 60  # 40 threads of the pool that serves requests, and the service's own
    for _ in range(3):
        assert hand.note().status_code == 201  # an exhausted pool would refuse the note after 30 s
    for stream in streams:
        got = stream.until(lambda events: len(events) >= 3)
        assert [e["kind"] for e in got] == ["hello"] * 3
    assert files_of(process) > files + 190
    for stream in streams:
        stream.close()
    eventually(lambda: files_of(process) < files + 50)  # closed streams are released; pooled connections stay


def test_readers_that_do_not_read_hold_nobody_up(live: Api) -> None:
    hand = live.running()
    for _ in range(180):
        hand.post("notes", kind="hello", message="b" * 20_000, data=BIG)
    stuck = [Stream(live.http.base_url, hand.job_id) for _ in range(3)]
    for stream in stuck:
        eventually(lambda stream=stream: stream.read(1))  # the stream has begun, and from now on nothing reads it
    # If each stream held a connection, none would be left, and each note would be refused after 30 s.
    for _ in range(10):
        assert hand.note().status_code == 201
    hand.finish("succeeded")
    for stream in stuck:
        got = stream.until(ended)
        assert [e["sequence"] for e in got[:-1]] == list(range(1, len(got)))
        stream.close()


def test_streams_end_with_the_service(tmp_path: Path, redis_server: RedisServer) -> None:
    with running_service(tmp_path, redis_server.url) as service, service.client() as http:
        api = Api(http)
        job_id = api.submit()["id"]
        streams = [Stream(http.base_url, job_id) for _ in range(5)]
        for stream in streams:
            stream.until(lambda events: len(events) >= 2)
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
        for stream in streams:
            while stream.read():
                pass
            assert list(stream.events()) == []  # no `end` frame: the readers are to reconnect
            stream.close()
        assert service.log.read_text() == f"Baton serves {service.url}\n"


def test_the_events_of_all_jobs_are_followed_and_resumed(live: Api) -> None:
    before = live.submit()["id"]
    eventually(lambda: any(one["job_id"] == before for one in feed(live)))
    following = Stream(live.http.base_url, None)
    following.read(1)  # the stream has begun: it sends only what comes now
    first, second = (live.submit()["id"] for _ in range(2))
    wanted = {(job_id, kind) for job_id in (first, second) for kind in ("submitted", "queued")}
    got = following.until(lambda events: wanted <= {(one["job_id"], one["kind"]) for one in events})
    following.close()
    numbers = [one["number"] for one in got]
    assert numbers == sorted(set(numbers))
    resumed = Stream(live.http.base_url, None, last=numbers[0])
    again = resumed.until(lambda events: bool(events) and events[-1]["number"] >= numbers[-1])
    resumed.close()
    assert [one["number"] for one in again][: len(numbers) - 1] == numbers[1:]


def feed(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/v1/events", params={"sort": "-number"}).json()["items"]
    return found
