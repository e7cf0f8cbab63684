"""The service as a process: start, shutdown, kill, and two processes on one database."""

from __future__ import annotations

import os
import signal
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from baton.storage import open_store
from service.__main__ import _listen, main
from service.db.sqlite_lock import exclusive_use
from tests.service.helpers import ON_BOTH, Api, eventually, spec
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.service import TOKEN, ServiceProcess, running_service

pytestmark = ON_BOTH


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BATON_TOKEN": ""}, ["BATON_TOKEN"]),
        ({"BATON_TOKEN": "short"}, ["BATON_TOKEN", "8 characters"]),
        ({"BATON_DATABASE_URL": "mysql://x"}, ["BATON_DATABASE_URL", "sqlite:///FILE"]),
        ({"BATON_DATABASE_URL": "sqlite://"}, ["BATON_DATABASE_URL", "must name a file"]),
        ({"BATON_DATABASE_URL": "sqlite:////proc/nowhere/x.db"}, ["BATON_DATABASE_URL"]),
        ({"BATON_REDIS_URL": "http://x"}, ["BATON_REDIS_URL", "redis://"]),
        ({"BATON_STORE": "ftp://x"}, ["BATON_STORE", "file:///"]),
        ({"BATON_PORT": "http"}, ["BATON_PORT"]),
        ({"BATON_LEASE_SECONDS": "5"}, ["BATON_LEASE_SECONDS", "BATON_HEARTBEAT_SECONDS"]),
        ({"BATON_HOST": "no.such.host.invalid"}, ["BATON_HOST"]),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    words: list[str],
) -> None:
    good = {
        "BATON_TOKEN": "long-enough",
        "BATON_DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "BATON_STORE": tmp_path.as_uri(),
        "BATON_PORT": "0",
    }
    for name, value in {**good, **settings}.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.process
def test_a_missing_token_and_a_taken_port_are_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        service = ServiceProcess(
            database_url=f"sqlite:///{tmp_path}/x.db",
            redis_url="redis://127.0.0.1:1/0",
            store_url=tmp_path.as_uri(),
            log=tmp_path / "log",
            port=int(taken.getsockname()[1]),
        )
        service.spawn()
        assert service.process is not None
        assert service.process.wait(60) == 2
        log_text = service.log.read_text()
        assert log_text.startswith(f"baton: cannot listen on 127.0.0.1 port {service.port}")
        assert "BATON_PORT" in log_text
        assert len(log_text.splitlines()) == 1
        service.settings = {"BATON_TOKEN": ""}
        service.spawn()
        assert service.process.wait(60) == 2
        assert "BATON_TOKEN" in service.log.read_text().splitlines()[1]


def test_a_database_that_cannot_hold_every_name_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    postgres_server: PostgresServer,
) -> None:
    postgres_server.execute("CREATE DATABASE odd ENCODING 'LATIN1' TEMPLATE template0")
    url = postgres_server.url("odd")
    settings = {"TOKEN": "long-enough", "DATABASE_URL": url, "STORE": tmp_path.as_uri(), "PORT": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    assert main() == 2
    log_text = capsys.readouterr().err
    assert log_text.startswith("baton: BATON_DATABASE_URL: the database's encoding is LATIN1")
    postgres_server.drop("odd")


def hanging_poll(service: ServiceProcess, job: dict[str, Any]) -> socket.socket:
    """Send a long poll that gets no response for a minute.

    Its connection has served a request before, so the service reads the poll before any later request.
    """
    first = HTTPConnection("127.0.0.1", service.port, timeout=60)
    first.request("GET", "/healthz")
    first.getresponse().read()
    connection = first.sock
    path = f"/v1/jobs/{job['id']}?wait=60&version={job['version'] + 1000}"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    return connection


@pytest.mark.process
def test_it_ends_at_once_with_long_polls_open(tmp_path: Path, redis_server: RedisServer, database_url: str) -> None:
    with (
        running_service(tmp_path, redis_server.url, BATON_DATABASE_URL=database_url) as service,
        service.client() as http,
    ):
        job = http.post("/v1/jobs", json=spec()).json()
        polls = [hanging_poll(service, job) for _ in range(3)]
        # The polls were sent before this request, so they have arrived when it returns.
        assert http.get("/healthz").status_code == 200
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(45) == 0  # the polls would last 60 s
        for poll in polls:
            assert poll.recv(15) == b"HTTP/1.1 200 OK"
            poll.close()
        assert service.log.read_text() == f"Baton serves {service.url}\n"


@pytest.mark.process
def test_what_was_accepted_survives_a_kill(tmp_path: Path, redis_server: RedisServer, database_url: str) -> None:
    settings = {
        "BATON_DATABASE_URL": database_url,
        "BATON_LEASE_SECONDS": "8",
        "BATON_HEARTBEAT_SECONDS": "2",
        "BATON_LEADER_SECONDS": "1",
    }
    with running_service(tmp_path, redis_server.url, **settings) as service:
        store = open_store(service.store_url)
        with service.client() as http:
            api = Api(http, store=store)
            jobs = [api.submit()["id"] for _ in range(5)]
            hand = api.claim(jobs[0])
            hand.beat("training")
            hand.checkpoint(7)
        service.kill()
        service.start()
        with service.client() as http:
            api = hand.api = Api(http, store=store)
            assert [job["id"] for job in http.get("/v1/jobs").json()["items"]] == jobs[::-1]
            eventually(lambda: api.job(jobs[0])["status"] == "recovering")
            assert hand.beat("training").json()["code"] == "lease-lost"
            successor = api.claim(jobs[0], "w2")
            assert successor.grant["checkpoints"][0]["position"]["global_step"] == 7
            assert successor.finish("succeeded").status_code == 200
            api.kinds(jobs[0])


def test_a_second_service_on_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    settings = {"TOKEN": "long-enough", "DATABASE_URL": url, "STORE": tmp_path.as_uri(), "PORT": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    with exclusive_use(url):
        assert main() == 2
    log_text = capsys.readouterr().err.strip()
    assert log_text.startswith(
        f"baton: BATON_DATABASE_URL: another service (process {os.getpid()}) uses {tmp_path}/x.db"
    )
    assert "postgresql+psycopg://" in log_text
    assert len(log_text.splitlines()) == 1


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Asyncio disables Nagle's algorithm only on sockets whose protocol is given as TCP."""
    with _listen("127.0.0.1", 0, "BATON_PORT") as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
