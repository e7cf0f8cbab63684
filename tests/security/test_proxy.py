"""What the proxy of docker-compose.yml bounds, as Caddy itself reads its file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.api.request_limits import MAX_BODY
from tests.support.service import ROOT

pytestmark = pytest.mark.process

SECOND = 10**9


def test_the_proxy_is_patient_with_readers_alone() -> None:
    caddy = Path(sys.executable).parent / "caddy"
    command = [caddy, "adapt", "--config", ROOT / "deploy/compose/Caddyfile", "--adapter", "caddyfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    servers: dict[str, Any] = json.loads(done.stdout)["apps"]["http"]["servers"]
    assert len(servers) == 2
    for server in servers.values():
        assert 0 < server["read_header_timeout"] <= 60 * SECOND
        assert 0 < server["read_timeout"] <= 120 * SECOND
        assert 0 < server["idle_timeout"] <= 600 * SECOND
        assert "write_timeout" not in server  # streams of events last for days
        assert server["max_header_bytes"] <= 1 << 16
        assert MAX_BODY <= largest_body(server) <= 4 * MAX_BODY
    assert json.loads(done.stdout)["admin"]["disabled"]


def largest_body(node: Any) -> int:
    """The greatest limit that stands somewhere below; 0 without one."""
    if isinstance(node, dict) and node.get("handler") == "request_body":
        return int(node["max_size"])
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return max(map(largest_body, below), default=0)
