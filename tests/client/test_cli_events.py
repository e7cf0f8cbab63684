"""Events and logs on the command line."""

import json
import re

from tests.client.command_line import Baton
from tests.client.fake_service import FakeService, job


def test_events(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded")
    event = {"sequence": 1, "at": "2026-01-02T03:04:05Z", "kind": "claimed", "actor": "w", "message": "hi", "data": {}}
    fake.lists["events"] = [event, {**event, "sequence": 2, "message": "ho"}]
    assert [json.loads(line)["message"] for line in baton("events", "j1", "--json").stdout.splitlines()] == ["hi", "ho"]
    lines = baton("events", "j1", "--follow").stdout.splitlines()
    assert all(re.match(r"2026-01-0\d \d\d:\d\d:05[+-]\d\d:\d\d  claimed  ", line) for line in lines), lines
    assert len(lines) == 2
    fake.cuts = [40, 300]
    lines = baton("events", "j1", "--follow", "--json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["hi", "ho"]


def test_logs(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", status="succeeded", attempts=2)
    fake.logs = {"1": "erster Versuch: größer\n".encode(), "2": b"second attempt\n"}
    assert baton("logs", "j1").stdout == "second attempt\n"
    assert baton("logs", "j1", "--attempt", "1").stdout == "erster Versuch: größer\n"
    assert baton("logs", "j1", "--attempt", "3").exit_code == 4
    fake.log_step = 1
    followed = baton("logs", "j1", "--attempt", "1", "--follow")
    assert followed.stdout == "erster Versuch: größer\n"
    assert "attempt 1:" in followed.stderr


def test_logs_go_on_with_the_next_attempt(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1", attempts=1)
    fake.stories["j1"] = [
        job("j1", attempts=1),
        job("j1", attempts=1, status="recovering", version=2),
        job("j1", attempts=2, status="running", version=3),
        job("j1", attempts=2, status="succeeded", version=4),
    ]
    fake.logs = {"1": b"one\n", "2": b"two\n"}
    followed = baton("logs", "j1", "--follow")
    assert followed.exit_code == 0
    assert followed.stdout == "one\ntwo\n"
    assert followed.stderr.splitlines() == ["attempt 1:", "attempt 2:"]
