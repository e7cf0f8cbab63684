"""The URLs of targets are secrets: only their endpoints receive them."""

from __future__ import annotations

import contextlib
import logging
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from typer.testing import CliRunner

from baton.cli import app
from service.notifications.sender import Sender
from service.notifications.targets import chosen, load_urls
from service.settings import Settings, SettingsError
from tests.service.helpers import Api, eventually
from tests.support.listener import Listener, listening
from tests.support.redis import RedisServer, free_port
from tests.support.service import TOKEN, ServiceProcess

SECRET = "s3cretS3CRETs3cret"
PATIENCE = 180


def planted(port: int) -> str:
    return f"json://me:{SECRET}@127.0.0.1:{port}/{SECRET}/hook?-token={SECRET}&rto=60&cto=60"


@contextmanager
def started(folder: Path, redis_url: str, settings: dict[str, str]) -> Iterator[ServiceProcess]:
    """Start a service and wait longer than usual, because a service with targets loads Apprise first."""
    store, log = (folder / "store").as_uri(), folder / "service.log"
    service = ServiceProcess(f"sqlite:///{folder}/baton.db", redis_url, store, log, settings=settings)
    try:
        service.spawn()
        service.await_ready(PATIENCE)
        yield service
    finally:
        service.kill()


def submit_and_end(api: Api) -> str:
    hand = api.running()
    assert hand.finish("succeeded").status_code == 200
    return hand.job_id


@pytest.mark.process
@pytest.mark.timeout(900)
def test_a_service_that_is_killed_before_it_sends_sends_later_and_keeps_its_secrets(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    settings = {
        "BATON_NOTIFY_URLS": f"ops={planted(listener.port)}\nnobody={planted(free_port())}",
        "BATON_NOTIFY_BACKOFF_SECONDS": "0.1",
        "BATON_NOTIFY_TRIES": "3",
        "BATON_NOTIFY_TIMEOUT_SECONDS": "30",
        "BATON_CONDUCTOR_SECONDS": "0",
    }
    with started(tmp_path, redis_server.url, settings) as service, service.client() as http:
        api = Api(http)
        job = submit_and_end(api)
        service.kill()
        listener.start()
        service.settings = {**settings, "BATON_CONDUCTOR_SECONDS": "0.1"}
        service.spawn()
        service.await_ready(PATIENCE)
        eventually(lambda: listener.titles == ["Baton: small succeeded"], PATIENCE)
        assert listener.paths[0] == f"/{SECRET}/hook?token={SECRET}"
        eventually(lambda: "notification_failed" in api.kinds(job), PATIENCE)
        shown = cli(service.url, monkeypatch)
        answers = [http.get(path).text for path in everything(job)]
        answers.append(http.post("/v1/notifications:test", json={"target": "nonesuch"}).text)
        answers.append(http.post("/v1/plans:preview", json={"notify": {"targets": ["x"]}}).text)
        service.terminate()
        listener.stop()
        dump = "\n".join(sqlite3.connect(tmp_path / "baton.db").iterdump())
    assert "notification_failed" in dump
    for text in (dump, shown, service.log.read_text(), *answers):
        assert SECRET not in text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


def everything(job: str) -> list[str]:
    below = ("", "/events", "/attempts", "/stages", "/history", "/checkpoints", "/artifacts")
    others = ("/v1/jobs", "/v1/notifications/targets", "/v1/audit", "/v1/workers", "/readyz", "/openapi.json")
    return [*(f"/v1/jobs/{job}{path}" for path in below), *others]


def cli(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The output of `baton notify`."""
    monkeypatch.setenv("BATON_URL", url)
    monkeypatch.setenv("BATON_TOKEN", TOKEN)
    listed = CliRunner().invoke(app, ["notify", "list"])
    assert (listed.exit_code, "nobody" in listed.stdout) == (0, True), listed.output
    one = CliRunner().invoke(app, ["notify", "test", "ops"])
    assert (one.exit_code, one.stdout) == (0, "ops: sent\n"), one.output
    both = CliRunner().invoke(app, ["notify", "test"])
    assert both.exit_code == 1
    assert "nobody: not sent, the endpoint could not be reached" in both.stdout
    return listed.output + one.output + both.output


@pytest.fixture
def garbler() -> Iterator[int]:
    """The port of a server with malformed response headers. urllib3 logs a warning with the whole URL for such a
    response.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(60)
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n no header\r\n\tat all\r\n\r\n")
                    connection.shutdown(socket.SHUT_WR)
                    # Closing with unread data would reset the connection and lose the response.
                    while connection.recv(65536):
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_no_log_has_a_url_at_any_level(caplog: pytest.LogCaptureFixture, garbler: int) -> None:
    caplog.set_level(1)
    with listening() as listener, listening(status=401) as wrong:
        ports = {"good": listener.port, "wrong": wrong.port, "away": free_port(), "odd": garbler}
        post = Sender({name: SecretStr(planted(port)) for name, port in ports.items()}, 60.0)
        found = {name: post.send(name, "title", "body") for name in ports}
        assert listener.titles == ["title"]
        assert found == {
            "good": None,
            "wrong": "the endpoint answered with HTTP status 401",
            "away": "the endpoint could not be reached",
            "odd": "the endpoint answered with HTTP status 500",
        }
        assert SECRET not in caplog.text
        # The same library does log other URLs: this proves that the test would see a leak.
        requests.post(f"http://127.0.0.1:{listener.port}/{SECRET}", json={"title": ""}, timeout=10)
        assert SECRET in caplog.text


def test_a_plugin_that_breaks_says_nothing_of_its_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post = Sender({"ops": SecretStr(planted(free_port()))}, 60.0)

    class Broken:
        def notify(self, **_given: Any) -> bool:
            raise RuntimeError(SECRET)

    post._ways["ops"] = Broken()  # type: ignore[assignment]
    assert post.send("ops", "title", "body") == "Apprise failed with RuntimeError"
    assert SECRET not in caplog.text


def test_one_that_hangs_is_left_to_itself_and_keeps_nobody_from_ending() -> None:
    with listening(hold=threading.Event()) as hanging:
        post = Sender({"ops": SecretStr(hanging.url())}, 0.3)
        assert post.send("ops", "one", "x") == "no answer within 0.3 s"
        assert post.send("ops", "two", "x") == "the message before this one still waits for an answer"
        (thread,) = [one for one in threading.enumerate() if one.name == "notification ops"]
        assert thread.daemon
        assert hanging.hold is not None
        hanging.hold.set()
        eventually(lambda: post.send("ops", "three", "x") is None)


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("text", "a <b> & *c*"),
        ("html", "a&nbsp;&lt;b&gt;&nbsp;&amp;&nbsp;*c*"),
        ("markdown", "a <b\\> & \\*c\\*"),
    ],
)
def test_a_message_is_escaped_as_its_target_wants_it(form: str, shown: str) -> None:
    with listening() as listener:
        post = Sender({"ops": SecretStr(listener.url(f"?format={form}"))}, 60.0)
        assert post.send("ops", "title", "a <b> & *c*") is None
        assert listener.posts[0]["message"] == shown


def settings(**values: Any) -> Settings:
    return Settings(token=TOKEN, **values)


def urls(**values: Any) -> dict[str, str]:
    return {name: url.get_secret_value() for name, url in load_urls(settings(**values)).items()}


def test_targets_are_read_from_the_environment_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "targets"
    file.write_text("# ours\n\nml = x\n".replace("ml = x", "ml=gotify://h/t\r\njson://f/"))
    found = urls(notify_urls="ops=json://a/?to=x,y&z=a%2Cb , json://b/,Me.2=mailto://u:p@h\n", notify_file=file)
    assert found == {
        "ops": "json://a/?to=x,y&z=a%2Cb",
        "default": "json://b/",
        "Me.2": "mailto://u:p@h",
        "ml": "gotify://h/t",
        "default-2": "json://f/",
    }
    assert urls() == {}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"notify_urls": f"json://a/\n{SECRET}"}, "BATON_NOTIFY_URLS: entry 2 is invalid"),
        ({"notify_urls": f"a b=json://{SECRET}/"}, "BATON_NOTIFY_URLS: entry 1 is invalid"),
        ({"notify_urls": f"a=json://{SECRET}/,a=json://x/"}, "two targets are called 'a'"),
        ({"notify_file": "/nonesuch"}, "BATON_NOTIFY_FILE: /nonesuch cannot be read"),
        ({"notify_urls": f"a=json://{SECRET}/", "notify_targets": "a, b"}, "unknown target 'b'; known: a"),
        ({"notify_targets": "b"}, "known: none: set BATON_NOTIFY_URLS"),
        ({"notify_urls": f"a=nonesuch://{SECRET}/"}, "Apprise cannot use the URL of target 'a'"),
        ({"notify_urls": f"a=slack://{SECRET}"}, "Apprise cannot use the URL of target 'a'"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(
    values: dict[str, Any], complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    given = settings(**values)
    with pytest.raises(SettingsError) as refused:
        found = load_urls(given)
        chosen(given, found)
        Sender(found, 1.0)
    assert complaint in str(refused.value)
    for text in (str(refused.value), repr(given), caplog.text):
        assert SECRET not in text


def test_a_bad_target_ends_the_start(start: Callable[..., Api]) -> None:
    with pytest.raises(SettingsError, match="Apprise cannot use the URL of target 'ops'"):
        start(notify_urls="ops=nonesuch://x")
