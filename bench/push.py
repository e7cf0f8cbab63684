"""`make bench-push`: pushes a folder, kills the push five times, and counts how many bytes are sent in all.

The service is a real process with a directory store. A proxy between client and service counts the bytes and signals
when to kill. The baseline is a plain copy: one process that writes the files to the same kind of store one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import heading, table
from tests.support.proxy import Proxy, Way
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess, running_service

KILLS = 5
COPY = """
import sys, time
from pathlib import Path
from baton.storage import open_store
folder, store = Path(sys.argv[1]), open_store(sys.argv[2])
began = time.monotonic()
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    store.put("copy/" + path.relative_to(folder).as_posix(), path)
print(time.monotonic() - began)
"""


@dataclass(frozen=True)
class Scale:
    """The folder: small files of 20 to 200 kB and some large ones. Sizes in bytes."""

    small: int
    large: int
    number_of_large: int = 4


FULL, QUICK = Scale(1_200_000_000, 200_000_000), Scale(60_000_000, 20_000_000)


class Line:
    """A proxy that counts the bytes from the client. `reached` is set when `until` bytes were sent."""

    def __init__(self, port: int) -> None:
        self.sent, self.until, self.reached = 0, float("inf"), threading.Event()
        self.proxy = Proxy([("127.0.0.1", port)], tap=self._see)
        self.url = f"http://{self.proxy.address}"

    def _see(self, _line: int, way: Way, chunk: bytes) -> None:
        if way is Way.REQUEST:
            self.sent += len(chunk)
            if self.sent >= self.until:
                self.reached.set()


def fill(folder: Path, scale: Scale) -> int:
    """Write the folder. Return its size in bytes."""
    drawn, size, k = random.Random(0), 0, 0
    while size < scale.small:
        path = folder / f"class-{k % 100:02}" / f"{k:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        size += path.write_bytes(drawn.randbytes(drawn.randrange(20_000, 200_000)))
        k += 1
    for large in range(scale.number_of_large):
        size += (folder / f"large-{large}.bin").write_bytes(drawn.randbytes(scale.large))
    return size


@contextmanager
def served(folder: Path, redis_url: str) -> Iterator[tuple[ServiceProcess, Line]]:
    """A service with an empty store, and the proxy in front of it."""
    folder.mkdir()
    with running_service(folder, redis_url) as service:
        line = Line(service.port)
        try:
            yield service, line
        finally:
            line.proxy.close()


def push(line: Line, folder: Path, cache: Path) -> subprocess.Popen[str]:
    """Start `baton data push`."""
    env = {**os.environ, "BATON_URL": line.url, "BATON_TOKEN": TOKEN, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "baton.cli", "data", "push", str(folder), "--name", "bench", "--json"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def whole(line: Line, folder: Path, cache: Path) -> tuple[float, dict[str, int]]:
    """Seconds and result of a push that is not killed."""
    began = time.monotonic()
    out, _ = push(line, folder, cache).communicate()
    return time.monotonic() - began, json.loads(out)


def killed(line: Line, folder: Path, cache: Path, size: int) -> None:
    """Push, and kill the push each time when another sixth of the folder was sent."""
    for number in range(1, KILLS + 1):
        line.until = size * number / (KILLS + 1)
        process = push(line, folder, cache)
        while not line.reached.wait(0.01):
            if process.poll() is not None:
                raise RuntimeError(f"the push ended before kill {number}")
        process.send_signal(signal.SIGKILL)
        process.wait()
        line.until = float("inf")
        line.reached.clear()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.push", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a folder of 140 MB instead of 2 GB")
    scale = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="bench-push-") as name, running_redis() as redis:
        base = Path(name)
        folder = base / "folder"
        size = fill(folder, scale)
        copied = [sys.executable, "-c", COPY, str(folder), (base / "copied").as_uri()]
        copy_seconds = float(subprocess.run(copied, check=True, capture_output=True, text=True).stdout)
        with served(base / "whole", redis.url) as (_, line):
            whole_seconds, result = whole(line, folder, base / "cache-1")
            whole_sent = line.sent
            again_seconds, again = whole(line, folder, base / "cache-1")
            again_sent = line.sent - whole_sent
        with served(base / "killed", redis.url) as (_, line):
            killed(line, folder, base / "cache-2", size)
            last_seconds, last = whole(line, folder, base / "cache-2")
            killed_sent = line.sent
    heading(f"Push of {size / 1e9:.2f} GB in {result['files']:,} files")
    measured = (
        ("plain copy, one stream", size, copy_seconds),
        ("push", whole_sent, whole_seconds),
        (f"push, killed {KILLS} times; seconds of the last run", killed_sent, last_seconds),
        ("the same push again", again_sent, again_seconds),
    )
    rows = [
        (what, f"{sent / 1e9:.3f}", f"{sent / size:.3f}", f"{seconds:.1f}", f"{seconds / copy_seconds:.2f}")
        for what, sent, seconds in measured
    ]
    table(("", "GB sent", "of the folder", "seconds", "of the copy"), rows)
    packs = [str(one["sent_packs"]) for one in (result, again, last)]
    print(f"packs sent: {packs[0]} by the push, {packs[1]} by the second, {packs[2]} by the last one after the kills")


if __name__ == "__main__":
    main()
