"""Starts a server as a child process on a free loopback port, and waits until it answers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.support.gcs import free_port, until

_SECONDS = 60.0
_TRIES = 3


@contextlib.contextmanager
def running_server(
    command: Callable[[int], Sequence[str]], path: str = "/", env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run `command(port)` until the block ends. Yield http://127.0.0.1:port, which answers `GET path` in some way."""
    with tempfile.TemporaryDirectory(prefix="baton-server-") as folder:
        log = Path(folder) / "log"
        process, host = _started(command, path, env, log)
        try:
            yield host
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(
    command: Callable[[int], Sequence[str]], path: str, env: Mapping[str, str] | None, log: Path
) -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(_TRIES):  # another process may take the free port first
        port = free_port()
        host = f"http://127.0.0.1:{port}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port), env={**os.environ, **(env or {})}, cwd=log.parent, stdout=output, stderr=output
            )
        until(partial(_settled, process, host + path), _SECONDS, f"{command(port)[0]} starts")
        if process.poll() is None:
            return process, host
        time.sleep(0.1)
    raise AssertionError(f"{command(0)} ended at once, {_TRIES} times:\n{log.read_text()[-2000:]}")


def _settled(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether it answers, or has ended."""
    return process.poll() is not None or _answers(url)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
