"""Clients that reach the port, with and without a token: slow, many, large or malformed requests."""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack

import httpx
import pytest

from tests.security.wire import BEARER, Wire, ask
from tests.service.helpers import Api, assert_problem, eventually
from tests.support.service import TOKEN, ServiceProcess

HOST = "Host: baton.example.org"
POST = ("POST /v1/jobs HTTP/1.1", HOST, "Content-Type: application/json")


@pytest.mark.process
def test_a_head_that_never_ends_is_left(service: ServiceProcess, stranger: httpx.Client) -> None:
    with Wire(service) as slow, Wire(service) as silent:
        slow.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert stranger.get("/healthz").status_code == 200
        assert slow.drip(b"X-A: b\r\n") == b""
        assert silent.rest() == b""


def test_a_later_head_that_never_ends_is_left_too(service: ServiceProcess) -> None:
    with Wire(service, "GET /healthz HTTP/1.1", HOST) as slow:
        answer = slow.receive()
        while not answer.endswith(b"}"):  # head and body may arrive separately
            answer += slow.receive()
        assert answer.startswith(b"HTTP/1.1 200")
        slow.send(b"GET /healthz HTTP/1.1\r\n")
        assert slow.drip(b"X-A: b\r\n") == b""


def test_a_slow_body_is_left(service: ServiceProcess, stranger: httpx.Client) -> None:
    with Wire(service, *POST, BEARER, "Content-Length: 100000") as slow:
        slow.send(b"{")
        assert stranger.get("/healthz").status_code == 200
        assert slow.drip(b" ").startswith(b"HTTP/1.1 408")
    with Wire(service, *POST, BEARER, "Transfer-Encoding: chunked") as slow:
        assert slow.drip(b"1\r\n \r\n").startswith(b"HTTP/1.1 408")


def test_a_stranger_is_refused_before_the_body_has_come(service: ServiceProcess) -> None:
    with Wire(service, *POST, "Content-Length: 100000") as slow:
        slow.send(b"{")
        assert slow.receive().startswith(b"HTTP/1.1 401")
        while slow.drip(b" "):
            pass  # read the rest of the response, until the connection is closed


def test_idle_connections_make_room_for_those_who_ask(service: ServiceProcess) -> None:
    with ExitStack() as held:
        crowd = [held.enter_context(Wire(service)) for _ in range(120)]
        for _ in range(5):
            assert ask(service, "GET /healthz HTTP/1.1", HOST)[0] == 200
        assert crowd[0].rest() == b""


def test_streams_of_one_token_leave_room_for_others(service: ServiceProcess, api: Api) -> None:
    """A token may use 20 of 40 connections at the same time."""
    job = api.submit()["id"]
    other = api.token("read")["token"]
    stream = (f"GET /v1/jobs/{job}/events HTTP/1.1", HOST, BEARER, "Accept: text/event-stream")
    with ExitStack() as held:
        streams = [held.enter_context(Wire(service, *stream)) for _ in range(20)]
        assert all(one.receive().startswith(b"HTTP/1.1 200") for one in streams)
        status, answer = ask(service, *stream)
        assert (status, "too-many-at-once" in answer, "retry-after: 1" in answer.lower()) == (429, True, True)
        assert ask(service, "GET /v1/jobs HTTP/1.1", HOST, f"Authorization: Bearer {other}")[0] == 200
        assert ask(service, "GET /healthz HTTP/1.1", HOST)[0] == 200
    eventually(lambda: api.http.get("/v1/jobs").status_code == 200)


def test_a_body_beyond_the_limit_is_refused(service: ServiceProcess) -> None:
    status, answer = ask(service, *POST, BEARER, f"Content-Length: {10**12}")
    assert (status, "body-too-large" in answer) == (413, True)
    with Wire(service, *POST, BEARER, "Transfer-Encoding: chunked") as endless:
        assert endless.drip((b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 20).startswith(b"HTTP/1.1 413")


def test_a_head_beyond_the_limit_is_refused(service: ServiceProcess) -> None:
    with Wire(service) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 70_000)
        assert wire.receive().startswith(b"HTTP/1.1 400")


def test_a_packed_body_is_not_unpacked(api: Api) -> None:
    bomb = gzip.compress(b" " * (16 << 20))
    for coding in ("gzip", "deflate", "br"):
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        assert_problem(api.http.post("/v1/jobs", content=bomb, headers=headers), 400, "malformed-body")


@pytest.mark.parametrize("depth", [40, 900, 100_000])
def test_deep_json_is_refused(api: Api, depth: int) -> None:
    for left, right in (("[", "]"), ('{"a":', "}")):
        body = '{"plan": "digits-demo", "set": {"seed": ' + left * depth + "1" + right * depth + "}}"
        answer = api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert_problem(answer, 400, "malformed-body")


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Content-Length: 50"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: -1",),
        ("Content-Length : 5",),
        ("Content-Length: 0x10",),
        (" Content-Length: 5",),
        ("Idempotency-Key: a\rX-Evil: 1",),
        ("X-\x00: 1",),
    ],
)
def test_no_two_readers_see_two_requests(service: ServiceProcess, lines: tuple[str, ...]) -> None:
    """Requests that a proxy and the service could split differently, so that a body becomes the next request."""
    smuggled = b"GET /v1/tokens HTTP/1.1\r\nHost: x\r\n\r\n"
    with Wire(service, *POST, BEARER, *lines, "Connection: close", body=b"0\r\n\r\n" + smuggled) as wire:
        answer = wire.rest()
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert answer.split(b" ")[1:2] in ([], [b"400"], [b"401"], [b"422"], [b"501"])


@pytest.mark.parametrize("key", ["a\tb", "ü", "\x7f", "a" * 256])
def test_an_idempotency_key_is_printable(service: ServiceProcess, key: str) -> None:
    body = json.dumps({"plan": "digits-demo"}).encode()
    status, answer = ask(service, *POST, BEARER, f"Idempotency-Key: {key}", f"Content-Length: {len(body)}", body=body)
    assert status == 422, answer


@pytest.mark.parametrize("path", ["/v1/jobs/", "/workers/", "/v1/jobs//", "//evil.example.org/", "/\\evil.example.org"])
def test_no_answer_leads_to_the_host_of_the_request(stranger: httpx.Client, path: str) -> None:
    headers = {"Host": "evil.example.org", "X-Forwarded-Host": "evil.example.org", "X-Original-URL": "/v1/tokens"}
    answer = stranger.get(path, headers=headers)
    assert answer.status_code in (200, 401, 404)
    assert "location" not in answer.headers
    assert "evil" not in answer.text


def test_a_page_under_another_name_is_a_stranger(service: ServiceProcess, stranger: httpx.Client) -> None:
    """DNS rebinding: a page of evil.example.org, whose name was made to resolve to this machine."""
    for path in ("/v1/jobs", "/v1/tokens", "/v1/session"):
        answer = stranger.get(path, headers={"Host": f"evil.example.org:{service.port}"})
        assert_problem(answer, 401, "unauthorized")
    shown = stranger.get("/", headers={"Host": "evil.example.org"}).text
    assert TOKEN not in shown


def test_only_a_trusted_proxy_may_forward_addresses(service: ServiceProcess, stranger: httpx.Client) -> None:
    """Wrong tokens are counted by address. So only the address that a trusted proxy reports counts."""
    assert "forwarded_allow_ips" not in service.environment
    for number in range(25):
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": f"192.0.2.1, 192.0.2.{number}, 203.0.113.9"}
        answer = stranger.get("/v1/jobs", headers=headers)
    assert_problem(answer, 429, "too-many-failures")
    # The right token is still accepted from that address, because many users may share one address.
    good = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.9"}
    assert stranger.get("/v1/jobs", headers=good).status_code == 200
