"""What `baton doctor` reports about the service."""

import json

import pytest

from baton.client.client import Client
from baton.client.errors import Unreachable
from tests.client.command_line import Baton
from tests.client.fake_service import FakeService


@pytest.mark.process
def test_doctor_looks_at_the_service_and_the_token(
    baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "baton.cli.doctor.CHECKS", doctor_checks("python_version", "disk_space", "redis_binary", "service")
    )
    healthy = baton("doctor")
    assert healthy.exit_code == 0, healthy.output
    assert "ready at" in healthy.stdout
    assert "agrees with the service's" in healthy.stdout
    told = json.loads(baton("doctor", "--json").stdout)
    assert {one["what"]: one["verdict"] for one in told}["clock"] == "ok"
    monkeypatch.setenv("BATON_TOKEN", "wrong")
    assert baton("doctor").exit_code == 4
    fake.stop()
    away = baton("doctor")
    assert (away.exit_code, "baton up" in away.stdout) == (3, True)


def test_doctor_says_that_a_clock_is_wrong(baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baton.cli.doctor.CHECKS", doctor_checks("service"))
    monkeypatch.setattr("baton.client.client.Client.clock_offset", lambda _: -4000.0)
    told = baton("doctor")
    assert (told.exit_code, "4000 s behind" in told.stdout, "NTP" in told.stdout) == (0, True, True)


def test_doctor_says_what_the_service_lacks(baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(client: Client) -> None:
        raise Unreachable(fake.url, "it answered 503", "store: The disk of the store /s is full; make room")

    monkeypatch.setattr("baton.cli.doctor.CHECKS", doctor_checks("service"))
    monkeypatch.setattr(Client, "ready", full)
    told = baton("doctor")
    assert (told.exit_code, "baton up" in told.stdout) == (3, False)
    assert f"answers at {fake.url}, but cannot work: store: The disk of the store /s is full" in told.stdout


def doctor_checks(*names: str) -> tuple[object, ...]:
    from baton.cli import doctor

    return tuple(getattr(doctor, name) for name in names)
