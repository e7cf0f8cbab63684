"""Baton over IPv6: `baton up`, the service, a worker, the client and the command line, all on ::1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from baton.client.connection import read_connection
from baton.local.ports import free_port
from tests.support.fast_jobs import fast
from tests.support.gcs import until
from tests.support.ipv6 import require_ipv6_loopback
from tests.support.jobs import Jobs
from tests.support.service import ROOT, TOKEN, ServiceProcess
from tests.support.worker import workers

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ipv6")


@pytest.fixture(scope="module")
def service(folder: Path, redis_url: str) -> Iterator[ServiceProcess]:
    require_ipv6_loopback()
    settings = {"BATON_FAILED_LOGINS": "2", "BATON_CONDUCTOR_SECONDS": "0.2"}
    store, log = (folder / "store").as_uri(), folder / "service.log"
    made = ServiceProcess(
        f"sqlite:///{folder}/baton.db", redis_url, store, log, port=free_port("::1"), settings=settings, host="::1"
    )
    made.start()
    yield made
    made.kill()


def baton(service_url: str, *arguments: str) -> str:
    """What the command prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BATON_URL": service_url, "BATON_TOKEN": TOKEN}
    command = [sys.executable, "-m", "baton.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_worker_trains_a_job_of_a_service_on_ipv6(service: ServiceProcess, folder: Path) -> None:
    assert service.url.startswith("http://[::1]:")
    assert service.log.read_text() == f"Baton serves {service.url}\n"
    with workers(service, folder, "tests.support.fake_worker") as made, service.client() as http:
        made.start("--poll", BATON_REDIS_URL="redis://127.0.0.1:1/0")
        job = Jobs(http).submit(fast("over-ipv6"))
        assert Jobs(http).await_end(job)["status"] == "succeeded"
        assert "over-ipv6" in baton(service.url, "list")
        assert baton(service.url, "dashboard").startswith(f"{service.url}/#sign-in=")


def test_wrong_tokens_count_for_the_network_of_a_client(service: ServiceProcess) -> None:
    """The proxy on ::1 is trusted, and the addresses of a /64 are one client."""

    def tried(address: str) -> int:
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": address}
        return httpx.get(f"{service.url}/v1/jobs", headers=headers).status_code

    addresses = ("2001:db8:1:2::1", "[2001:db8:1:2:ffff::2]:4711", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1")
    assert [tried(one) for one in addresses] == [401, 401, 429, 401]


def test_baton_up_on_ipv6_with_any_free_port(folder: Path) -> None:
    require_ipv6_loopback()
    data, log = folder / "up", folder / "up.log"
    command = [sys.executable, "-m", "baton.cli", "up", "--host", "::1", "--port", "0", "--workers", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    with log.open("wb") as out:
        up = subprocess.Popen(
            [*command, "--data", str(data)], env={**environment, "PYTHONPATH": str(ROOT)}, stdout=out, stderr=out
        )
    try:
        until(lambda: "Try next" in log.read_text() or up.poll() is not None, 120, "baton up on ::1")
        connection, text = read_connection(data), log.read_text()
        assert connection is not None, text
        assert connection.url.startswith("http://[::1]:"), text
        assert f"URL        {connection.url}\n" in text
        assert "without TLS" not in text  # ::1 is this machine
        answer = httpx.get(f"{connection.url}/v1/jobs", headers={"Authorization": f"Bearer {connection.token}"})
        assert answer.status_code == 200
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
