"""The limits of the proxy in docker-compose.yml, as Caddy itself reads them."""

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
UPLOAD_SECONDS, MAX_UPLOAD = 600, 128 << 20
UPLOADS = ["*/objects/*", "*/v1/packs/*", "*/v1/manifests/*", "*/v1/code/*"]


def test_the_proxy_is_patient_with_readers_alone() -> None:
    caddy = Path(sys.executable).parent / "caddy"
    command = [caddy, "adapt", "--config", ROOT / "deploy/compose/Caddyfile", "--adapter", "caddyfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    servers: dict[str, Any] = json.loads(done.stdout)["apps"]["http"]["servers"]
    assert len(servers) == 2
    for server in servers.values():
        assert 0 < server["read_header_timeout"] <= 60 * SECOND
        assert UPLOAD_SECONDS * SECOND < server["read_timeout"] <= 900 * SECOND
        assert 0 < server["idle_timeout"] <= 600 * SECOND
        assert "write_timeout" not in server  # streams of events last for days
        assert server["max_header_bytes"] <= 1 << 16
        uploads, others = limits(server)
        assert uploads["match"] == [{"method": ["PUT"], "path": UPLOADS}]
        assert others["match"] == [{"not": uploads["match"]}]
        assert MAX_UPLOAD <= max_size(uploads) <= 2 * MAX_UPLOAD
        assert MAX_BODY <= max_size(others) <= 4 * MAX_BODY
    assert json.loads(done.stdout)["admin"]["disabled"]


def limits(node: Any) -> list[dict[str, Any]]:
    """The routes that limit bodies, in their order."""
    if isinstance(node, dict):
        here = (
            [node] if "match" in node and "request_body" in [one["handler"] for one in node.get("handle", ())] else []
        )
        return here + [one for below in node.values() for one in limits(below)]
    return [one for below in node for one in limits(below)] if isinstance(node, list) else []


def max_size(route: dict[str, Any]) -> int:
    """The most bytes of a body."""
    (handler,) = route["handle"]
    return int(handler["max_size"])
