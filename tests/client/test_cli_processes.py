"""The command line as a process, and the programs that it starts in its place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_service import TOKEN, FakeService, job

pytestmark = pytest.mark.process


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "baton.cli", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_real_command_writes_json_to_a_pipe(fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    result = run("status", "j1", "--json", BATON_URL=fake.url, BATON_TOKEN=TOKEN)
    assert (result.returncode, json.loads(result.stdout)["id"]) == (0, "j1")


def test_the_real_command_has_no_traceback_for_a_service_that_is_away(fake: FakeService) -> None:
    fake.stop()
    result = run("list", BATON_URL=fake.url, BATON_TOKEN=TOKEN)
    assert result.returncode == 3
    assert "Traceback" not in result.stderr


REPORT = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("BATON_URL"), os.environ.get("BATON_PORT")]))
"""
BECOME = """
import sys
import baton.cli.programs as local
from baton.cli import main
local.child_environment = lambda env: {{**env, "PYTHONPATH": {path!r}, "PYTHONSAFEPATH": "1"}}
sys.argv = ["baton", *{arguments!r}]
main()
"""


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("worker", "--service", "http://s", "--token", "t", "--queue", "gpu", "--queue", "low", "--once"), "worker"),
        (("worker", "--service", "http://s", "--poll"), "worker"),
        (("serve", "--port", "9999"), "service"),
    ],
)
def test_worker_and_serve_become_their_module(tmp_path: Path, command: tuple[str, ...], shown: str) -> None:
    package = tmp_path / shown
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(REPORT)
    code = BECOME.format(path=str(tmp_path), arguments=list(command))
    env = {**os.environ, "BATON_URL": ""}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=True
    )
    arguments, url, port = json.loads(result.stdout)
    if shown == "worker":
        expected = ["--poll"] if "--poll" in command else ["--queue", "gpu", "--queue", "low", "--once"]
        assert (arguments, url) == (expected, "http://s")
    else:
        assert (arguments, port) == ([], "9999")
