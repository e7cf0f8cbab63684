"""Schemathesis against the live service and its own OpenAPI: every check, with and without a token, call after call.

More by `BATON_API_EXAMPLES=200`. By hand: `schemathesis --config-file tests/api/schemathesis.toml run URL/openapi.json`
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
SECONDS = 900
pytestmark = [pytest.mark.timeout(SECONDS + 60), pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    # Wrong tokens by the hundred are what is asked for here.
    settings = {"BATON_FAILED_LOGINS": "0"}
    with running_redis() as redis, running_service(tmp_path_factory.mktemp("api"), redis.url, **settings) as running:
        yield running


# Long polls wait for up to a minute, because they were asked to.
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
    """How many calls were made. Fails with what Schemathesis found, and with what the service says of it."""
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
