"""Schemathesis tests the running service against its own OpenAPI document: every check, with and without a token, with
sequences of calls.

Set BATON_API_EXAMPLES=200 for more examples. By hand: `schemathesis --config-file tests/api/schemathesis.toml run
URL/openapi.json`
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = os.environ.get("BATON_API_EXAMPLES", "6")
SECONDS = 1500
pytestmark = [pytest.mark.timeout(SECONDS + 60), pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    # These tests send hundreds of wrong tokens on purpose.
    settings = {"BATON_FAILED_LOGINS": "0"}
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("api"), redis.url, **settings) as running:
        yield running


# Long polls wait for up to a minute if the request asks for it.
TIMES = ("--request-timeout", "90", "--max-response-time", "75")


def schemathesis(service: ServiceProcess, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"]
    options = (f"{service.url}/openapi.json", "--checks", "all", "--max-examples", EXAMPLES, "--no-color", *options)
    return subprocess.run(
        [*command, *options, "--seed", "1", *TIMES, "--continue-on-failure"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def passed(done: subprocess.CompletedProcess[str], service: ServiceProcess) -> int:
    """The number of calls. Fails with the findings of Schemathesis and the log of the service."""
    assert done.returncode == 0, (
        f"{done.stdout[-15_000:]}{done.stderr}\n{service.log.read_text(errors='replace')[-5_000:]}"
    )
    made = re.search(r"(\d+) generated", done.stdout)
    assert made is not None, done.stdout
    return int(made[1])


def test_as_admin(service: ServiceProcess, tmp_path: Path) -> None:
    done = schemathesis(service, tmp_path, "--header", f"Authorization: Bearer {TOKEN}")
    assert passed(done, service) > 500
    assert "Stateful" in done.stdout


def test_without_a_token(service: ServiceProcess, tmp_path: Path) -> None:
    assert passed(schemathesis(service, tmp_path, "--phases", "fuzzing,stateful"), service) > 50
