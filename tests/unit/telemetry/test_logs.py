"""Log lines in the JSON format and in the text format. No secret appears in them."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from baton.telemetry import log_context
from baton.telemetry.log_format import Format, set_up
from baton.telemetry.redaction import Secrets, password_of

TOKEN = "a+b/c=d e"
log = logging.getLogger("tests.logs")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Format], io.StringIO]]:
    """Redirect the log of this process to memory, and restore it afterwards."""
    root = logging.getLogger()
    before, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)

    def begin(form: Format) -> io.StringIO:
        written = io.StringIO()
        monkeypatch.setattr(sys, "stderr", written)
        set_up(form, "info", Secrets([TOKEN, "hunter2hunter2"]))
        return written

    yield begin
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_each_record_is_one_object_in_one_line(start: Callable[[Format], io.StringIO]) -> None:
    written = start("json")
    with log_context.within(request_id="r-1", job="j", attempt=2, worker=None):
        log.warning("two\nlines, %s", "ünicode", extra={"status": 404, "parts": ["a", {"b": float("nan")}]})
    log.debug("not told")
    (found,) = lines(written)
    assert found.pop("ts").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "tests.logs",
        "message": "two\nlines, ünicode",
        "request_id": "r-1",
        "job": "j",
        "attempt": 2,
        "status": 404,
        "parts": ["a", {"b": "nan"}],
    }


def test_exceptions_are_a_field(start: Callable[[Format], io.StringIO]) -> None:
    written = start("json")
    try:
        raise ValueError(f"no {TOKEN} here")
    except ValueError:
        log.exception("went wrong")

    def die() -> None:
        raise KeyError("in a thread")

    thread = threading.Thread(target=die, name="helper")
    thread.start()
    thread.join()
    here, there = lines(written)
    assert here["message"] == "went wrong"
    assert here["exception"].startswith("Traceback")
    assert here["exception"].endswith("ValueError: no *** here")
    assert there["message"] == "thread helper ended by an exception"
    assert "KeyError: 'in a thread'" in there["exception"]


def test_what_the_process_is_about_is_told_by_all_its_threads(start: Callable[[Format], io.StringIO]) -> None:
    written = start("json")
    log_context.for_process(worker="w-1", job="j")
    thread = threading.Thread(target=lambda: log.info("from a thread"))
    thread.start()
    thread.join()
    log_context.for_process(worker=None, job=None)
    log.info("later")
    first, second = lines(written)
    assert (first["worker"], first["job"]) == ("w-1", "j")
    assert "worker" not in second


def test_text_names_the_request(start: Callable[[Format], io.StringIO]) -> None:
    written = start("text")
    with log_context.within(request_id="r-1"):
        log.info("said\nmore")
    log.info("and %s", TOKEN)
    first, second, third = written.getvalue().splitlines()
    assert first.endswith("INFO tests.logs: said [request r-1]")
    assert second == "more"
    assert third.endswith("and ***")


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_told(start: Callable[[Format], io.StringIO], form: Format) -> None:
    written = start(form)
    digits, drawn = "0123456789abcdef" * 4, "fedcba987654"
    secrets = [
        TOKEN,
        "a%2Bb%2Fc%3Dd%20e",  # the token as it is quoted in a URL
        "hunter2hunter2",
        "redis://:pw@redis:6379/0",
        "postgresql+psycopg://baton:s3@db/baton",
        "Authorization: Bearer abc.def",
        f"baton_{drawn}_{digits}",
        f"baton_link_{digits}",
        f"baton_attempt_{'a' * 32}_7_{'b' * 32}_0_{digits}",
    ]
    for one in secrets:
        log.warning("got %s", one, extra={"beside": {"it": one}})
    text = written.getvalue()
    for secret in (TOKEN, "hunter2", ":pw@", ":s3@", "abc.def", digits, "a%2Bb"):
        assert secret not in text
    for kept in ("redis://:***@redis:6379/0", "baton:***@db", f"baton_{drawn}_***", "baton_link_***"):
        assert kept in text
    assert f"baton_attempt_{'a' * 32}_7_{'b' * 32}_0_***" in text


def test_the_password_of_a_url() -> None:
    assert password_of("redis://:p%40ss@redis:6379/0") == "p@ss"
    assert password_of("redis://redis:6379/0") is None
    assert password_of("sqlite:///x.db") is None
    assert password_of("redis://[bad") is None
