"""The messages of a training process to its supervisor, and to which attempt the supervisor assigns them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import cast

import pytest

from tests.support.gcs import until
from worker.api_client.client import ServiceClient
from worker.ipc.messages import (
    GivenBack,
    Held,
    Inbox,
    Message,
    MessageUnreadable,
    NotHeld,
    Ready,
    message_line,
    read_message,
)
from worker.log_shipping.shipper import Logs
from worker.supervisor.liveness import LivenessFile
from worker.supervisor.process import TrainingProcess
from worker.supervisor.supervisor import Supervisor

SLOW_CLAIM = "tests.support.slow_claim"
SOON = 60.0
ATTEMPT = "a" * 32


@pytest.mark.parametrize(
    "message",
    [
        Ready("cpu"),
        Held("a", 2, "j", 1, None, 3),
        Held("a", 2, "j", 1, "token"),
        NotHeld("a"),
        GivenBack("a", 1, 0.5, "failed", "exception", "ValueError"),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert read_message(message_line(message)) == message


@pytest.mark.parametrize(
    "line",
    [
        b"a line of a library",
        b"[]",
        b"7",
        b'{"refused": "a"}',
        b'{"kind": "refused", "attempt_id": "a"}',
        b'{"kind": [], "attempt_id": "a"}',
        b'{"kind": "not_held"}',
        b'{"kind": "not_held", "attempt_id": 7}',
        b'{"kind": "not_held", "attempt_id": "a", "more": 1}',
        b'{"kind": "given_back", "attempt_id": "a", "startup": true, "handover": 1.0, "outcome": null, "reason": null, '
        b'"fault": null}',
    ],
)
def test_what_is_no_message_is_not_read(line: bytes) -> None:
    with pytest.raises(MessageUnreadable):
        read_message(line)


def test_bytes_are_read_once_and_half_a_line_waits() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    inbox, line = Inbox(reading), message_line(NotHeld("a"))
    try:
        os.write(writing, line + line[:9])
        assert [json.loads(one)["attempt_id"] for one in inbox.read()] == ["a"]
        assert inbox.read() == []
        os.write(writing, line[9:])
        assert inbox.read() == [line[:-1]]
    finally:
        os.close(reading)
        os.close(writing)


class _Beats(LivenessFile):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def beat(self) -> None:
        self.count += 1


@pytest.mark.process
def test_a_refusal_from_before_does_not_hide_an_attempt_that_is_claimed_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_CLAIM_FOLDER", str(tmp_path))
    beats, claimed = _Beats(), []
    supervisor = Supervisor(
        cast(ServiceClient, None), grace=SOON, logs=Logs(tmp_path.as_uri()), module=SLOW_CLAIM, liveness=beats
    )

    def train() -> None:
        with supervisor.taken():
            claimed.append(supervisor.train(ATTEMPT))

    with supervisor:
        assert supervisor.await_warm()
        train()
        assert claimed == [False]
        second = threading.Thread(target=train)
        second.start()
        until((tmp_path / "ordered").exists, SOON, "the second order")
        before = beats.count
        until(lambda: beats.count > before + 2, SOON, "the supervisor to look for messages")
        assert supervisor.busy
        (tmp_path / "gate").touch()
        until((tmp_path / "claimed").exists, SOON, "the claim")
        supervisor.stop("SIGTERM")
        second.join(SOON)
    assert claimed == [False, True]
    assert (tmp_path / "heard").read_text() == "SIGTERM"


@pytest.mark.process
def test_a_busy_process_gets_no_other_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_CLAIM_FOLDER", str(tmp_path))
    (tmp_path / "gate").touch()
    process = TrainingProcess(SLOW_CLAIM)
    try:
        until(lambda: process.ready, SOON, "the process to be ready")
        process.assign("first")
        until(process.refused, SOON, "the refusal")
        process.assign("second")
        until(lambda: process.held() is not None, SOON, "the claim")
        assert process.busy
        with pytest.raises(RuntimeError, match="has an attempt"):
            process.assign("third")
        held = process.held()
        assert held is not None
        assert held.attempt_id == "second"
    finally:
        process.close()
