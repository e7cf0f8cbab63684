"""Logs of attempts over REST, from a directory and from a bucket."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

import service.live.log_reader
from baton.domain.manifest import log_segment
from baton.storage import StoreUnavailable
from service.usecases import attempt_logs
from tests.service.helpers import Api, WorkerHand, assert_problem, eventually
from tests.support.gcs import GcsEmulator, gcs_emulator
from tests.support.redis import RedisServer

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def emulator() -> Iterator[GcsEmulator]:
    with gcs_emulator("logs") as running:
        yield running


@pytest.fixture(params=["directory", "bucket"])
def served(
    request: pytest.FixtureRequest,
    start: Callable[..., Api],
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Api:
    """The service on each kind of store."""
    redis_server.client().flushall()
    if request.param == "directory":
        return start()
    emulator = request.getfixturevalue("emulator")
    for variable, value in emulator.environ.items():
        monkeypatch.setenv(variable, value)
    return start(store=emulator.store_url())


@dataclass
class Log:
    """The log of a held attempt, with the worker's side and the reader's side."""

    hand: WorkerHand
    text: bytes = b""
    names: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/v1/jobs/{self.hand.job_id}/attempts/{self.hand.grant['attempt']}/log"

    def ship(self, data: bytes) -> None:
        self.names.append(log_segment(self.hand.job_id, self.hand.grant["attempt"], self.hand.fence, len(self.text)))
        self.hand.api.services.store.put(self.names[-1], data, if_absent=True)
        self.text += data

    def get(self, **query: Any) -> httpx.Response:
        answer = self.hand.api.http.get(self.path, params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        return answer

    def read(self, **query: Any) -> tuple[bytes, int, bool]:
        answer = self.get(**query)
        return answer.content, int(answer.headers["Baton-Next-Offset"]), answer.headers["Baton-Complete"] == "true"


def held(api: Api) -> Log:
    return Log(api.running())


def test_it_is_read_from_any_byte(served: Api) -> None:
    log = held(served)
    assert log.read() == (b"", 0, False)
    draw = random.Random(3)
    for _ in range(6):
        log.ship(draw.randbytes(draw.randrange(1, 50)))
    size = len(log.text)
    for offset in range(size + 1):
        assert log.read(offset=offset)[0] == log.text[offset:]
    assert log.read(offset=7)[1:] == (size, False)
    assert log.read(offset=size + 5) == (b"", size, False)
    log.ship(b"")
    assert log.read() == (log.text, size, True)
    assert log.read(offset=size) == (b"", size, True)
    assert log.read(offset=size + 5, wait=30) == (b"", size, True)


def test_the_parts_of_a_log_add_up_to_the_whole(served: Api) -> None:
    log = held(served)
    for n in range(service.live.log_reader.WALK + 5):
        log.ship(f"{n}é\n".encode())
    log.ship(b"")
    found, offset, complete = log.read(offset=len("0é\n".encode()))
    assert not complete  # one response reads a limited number of segments
    rest, _, complete = log.read(offset=offset)
    assert complete
    assert b"0\xc3\xa9\n" + found + rest == log.text
    assert log.read() == (log.text, len(log.text), True)


def test_it_is_waited_for(served: Api) -> None:
    log = held(served)
    log.ship(b"one\n")
    for text in (b"two\n", b"three\n", b""):
        timer = threading.Timer(0.3, lambda text=text: log.ship(text))  # type: ignore[misc]
        timer.start()
        got, offset, complete = log.read(offset=len(log.text), wait=30)
        timer.join()
        assert (got, offset, complete) == (text, len(log.text), not text)
    assert log.read(offset=0, wait=30)[0] == b"one\ntwo\nthree\n"


def test_a_log_that_nobody_writes_is_waited_for_in_vain(api: Api) -> None:
    log = held(api)
    assert log.read(wait=0.2) == (b"", 0, False)


def test_before_the_claim_there_is_none(api: Api) -> None:
    job_id = api.submit()["id"]
    path = f"/v1/jobs/{job_id}/attempts/1/log"
    answer = api.http.get(path, params={"wait": 0.1})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["Baton-Next-Offset"], answer.headers["Baton-Complete"]) == ("0", "false")
    answers: list[httpx.Response] = []
    poll = threading.Thread(target=lambda: answers.append(api.http.get(path, params={"wait": 60})))
    poll.start()
    log = Log(api.claim(job_id))
    log.ship(b"hello")
    poll.join(45)  # the poll itself would last 60 s
    assert answers[0].content == b"hello"
    assert api.http.get(path, params={"offset": 9}).headers["Baton-Next-Offset"] == "5"


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_an_attempt_that_nobody_claimed_has_an_empty_log(api: Api, wish: str) -> None:
    job_id = api.submit()["id"]
    api.ask(job_id, wish)
    answer = api.http.get(f"/v1/jobs/{job_id}/attempts/1/log", params={"wait": 30})
    assert (answer.content, answer.headers["Baton-Complete"]) == (b"", "true")


def test_a_lost_worker_is_not_waited_for(api: Api) -> None:
    log = held(api)
    log.ship(b"last words")
    answers: list[tuple[bytes, int, bool]] = []
    poll = threading.Thread(target=lambda: answers.append(log.read(offset=len(log.text), wait=60)))
    poll.start()
    api.let_lease_run_out(log.hand.attempt_id)
    api.conduct()
    poll.join(45)  # the poll itself would last 60 s
    assert answers == [(b"", 10, True)]
    assert log.read() == (b"last words", 10, True)


def test_others_have_a_while_for_their_last_lines(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    log = held(api)
    log.hand.finish("failed", reason="bad_data")
    assert log.read() == (b"", 0, False)
    log.ship(b"Traceback")
    assert log.read() == (b"Traceback", 9, False)
    assert log.read(offset=9, wait=0.2) == (b"", 9, False)
    monkeypatch.setattr(attempt_logs, "SETTLED_AFTER", timedelta(0))
    assert log.read(offset=9, wait=30) == (b"", 9, True)


def test_each_attempt_has_its_own(api: Api) -> None:
    first = held(api)
    first.ship(b"first")
    first.hand.finish("preempted")
    second = Log(api.claim(first.hand.job_id, "w2"))
    second.ship(b"second")
    assert (first.read()[0], second.read()[0]) == (b"first", b"second")


@pytest.mark.parametrize("number", [2, 2**31 - 1])
def test_an_unknown_attempt_is_said(api: Api, number: int) -> None:
    job_id = api.submit()["id"]
    answer = api.http.get(f"/v1/jobs/{job_id}/attempts/{number}/log")
    assert (
        f"its attempts are 1 to 1: GET /v1/jobs/{job_id}/attempts" in assert_problem(answer, 404, "not-found")["detail"]
    )


def test_unknown_jobs_and_bad_numbers_are_refused(api: Api) -> None:
    job_id = api.submit()["id"]
    assert_problem(api.http.get(f"/v1/jobs/{'0' * 32}/attempts/1/log"), 404, "not-found")
    for path in ("0/log", "x/log", "1/log?offset=-1", "1/log?wait=61", f"{2**40}/log"):
        assert_problem(api.http.get(f"/v1/jobs/{job_id}/attempts/{path}"), 422, "invalid-request")


def test_a_store_that_is_away_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    log = held(api)

    def away(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(api.services.store), "list", away)
    assert_problem(api.http.get(log.path), 503, "store-unavailable")


def test_nobody_sweeps_logs_away(api: Api) -> None:
    log = held(api)
    log.ship(b"kept")
    stray = f"jobs/{log.hand.job_id}/checkpoints/0000000009-{log.hand.fence}-9/state.safetensors"
    api.services.store.put(stray, b"an orphan")
    log.hand.finish("succeeded")
    api.conduct()
    eventually(lambda: api.services.store.stat(stray) is None)  # the sweep has run
    assert log.read()[0] == b"kept"


def test_foreign_objects_beside_the_segments_are_passed_over(api: Api) -> None:
    log = held(api)
    log.ship(b"one")
    folder = log.names[0].rpartition("/")[0]
    for stray in ("notes.txt", "000000000001.log", "000000000009.log"):
        api.services.store.put(f"{folder}/{stray}", b"?")
    log.ship(b"two")
    assert log.read() == (b"onetwo", 6, False)


def test_a_poll_of_a_log_ends_with_the_service(api: Api) -> None:
    log = held(api)
    answers: list[tuple[bytes, int, bool]] = []
    poll = threading.Thread(target=lambda: answers.append(log.read(wait=60)))
    poll.start()
    eventually(lambda: api.services.watch._waiters)
    api.services.watch.close()
    poll.join(45)  # the poll itself would last 60 s
    assert answers == [(b"", 0, False)]


def test_the_contract_says_how_to_go_on(api: Api) -> None:
    path = api.http.get("/openapi.json").json()["paths"]["/v1/jobs/{job_id}/attempts/{number}/log"]["get"]
    assert set(path["responses"]["200"]["headers"]) == {"Baton-Next-Offset", "Baton-Complete"}
    assert set(path["responses"]["200"]["content"]) == {"text/plain"}
