"""A real reverse proxy for tests: Caddy, which publishes a service below a path prefix and removes the prefix."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support.redis import free_port

CADDY = Path(sys.executable).parent / "caddy"
START_SECONDS = 60.0
CADDYFILE = """
{{
	admin off
	persist_config off
	auto_https off
}}
http://127.0.0.1:{port} {{
	redir {prefix} {prefix}/
	handle_path {prefix}/* {{
		reverse_proxy {upstream}
	}}
	respond "not Baton" 404
}}
"""


@contextlib.contextmanager
def published(service_url: str, prefix: str, folder: Path) -> Iterator[str]:
    """The URL with the prefix under which the service can be reached through the proxy."""
    port = free_port()
    file, log = folder / "Caddyfile", folder / "caddy.log"
    file.write_text(CADDYFILE.format(port=port, prefix=prefix, upstream=service_url.removeprefix("http://")))
    command = [CADDY, "run", "--config", file, "--adapter", "caddyfile"]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env={**os.environ, "HOME": str(folder)}, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}{prefix}"
        _await(f"{url}/readyz", process, log)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5.0).is_success:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the proxy did not get ready:\n{log.read_text(errors='replace')}")
