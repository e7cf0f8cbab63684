"""`baton up --share`: what it shows, what follows when the tunnel ends, and what is left when it ends itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.helpers import bearer, eventually
from tests.support.process_state import gone
from tests.support.service import ROOT
from tests.support.shared_stack import SharedStack, running_share

pytestmark = pytest.mark.process


@pytest.fixture
def share(tmp_path: Path) -> Iterator[SharedStack]:
    with running_share(tmp_path) as stack:
        yield stack


def field(cell: str, name: str) -> str:
    found = re.search(rf'^{name} = "([^"]*)"', cell, re.MULTILINE)
    assert found is not None
    return found[1]


def test_another_address_is_told_when_the_tunnel_ends_and_its_program_gets_no_secret(share: SharedStack) -> None:
    cell = share.await_cell(1)
    url, token = field(cell, "service_url"), field(cell, "token")
    assert f"baton worker --service {url} --token {token}" in share.output
    assert "https://colab.research.google.com/#create=true" in share.output
    tunnel = share.children()["tunnel"]
    given = Path(f"/proc/{tunnel}/environ").read_text().split("\0")
    assert {one.partition("=")[0] for one in given if one.startswith("BATON_")} == {"BATON_STACK"}
    os.kill(tunnel, signal.SIGKILL)
    second = share.await_cell(2)
    assert field(second, "service_url") != url
    assert [field(second, name) for name in ("token", "script_sha256")] == [token, field(cell, "script_sha256")]
    assert httpx.get(f"{field(second, 'service_url')}/v1/session", headers=bearer(token)).json()["scopes"] == ["work"]


def test_nothing_is_left_of_a_share_that_was_killed(share: SharedStack) -> None:
    token = field(share.await_cell(1), "token")
    children = share.children()
    share.process.kill()
    share.process.wait()
    eventually(lambda: all(gone(pid) for pid in children.values()))
    assert not [one for one in share.data.rglob("*") if one.is_file() and token.encode() in one.read_bytes()]


def test_without_a_tunnel_nothing_is_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "baton.cli", "up", "--share", "--data", str(tmp_path / "data")]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no tunnel program is installed" in done.stderr
    assert "brew install cloudflared" in done.stderr
    assert json.loads((tmp_path / "data/processes.json").read_text()) == {}
