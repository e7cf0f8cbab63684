"""`make bench-program-files`: a large checkpoint of a program's files, compared with the store's own client.

For a directory store and for a bucket of the Google Cloud Storage emulator, in turn: the client alone uploads freshly
written files and downloads them; then a program below a real worker saves the same files, is killed after the commit,
and restores them. `own memory`: what the process has allocated (RssAnon in /proc/PID/status, read every 20 ms). The
page cache, which the kernel takes back at any time, is not a part of it. `resident`: the largest RSS that the kernel
has seen (VmHWM), with mapped libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from bench import saving_program, store_client
from bench.figures import heading, table
from tests.support.gcs import GcsEmulator, gcs_emulator
from tests.support.jobs import Jobs
from tests.support.program_jobs import program
from tests.support.redis import running_redis
from tests.support.service import ROOT, ServiceProcess
from tests.support.worker import WorkerProcess, workers
from worker.checkpointing.saved_folder import TRANSFERS

STORES = ("directory", "gcs")
TARGET_RATIO, TARGET_BYTES = 0.7, 200e6
COPIES, EMULATOR_COPIES = 3.2, 3.0
"""How many times the files need room on the disk, and in the memory with which the emulator runs."""
LOOK_SECONDS = 0.02
START_SECONDS, JOB_SECONDS = 600.0, 3 * 3600.0
MEBIBYTE = saving_program.BLOCK


@dataclass(frozen=True)
class Size:
    """The files of the checkpoint."""

    files: int
    megabytes: int

    @property
    def bytes(self) -> int:
        """Of all files."""
        return self.files * self.megabytes * MEBIBYTE

    def paths(self, folder: Path) -> list[Path]:
        """Their paths in a folder."""
        return [folder / f"part-{number}.bin" for number in range(self.files)]


@dataclass
class Times:
    """Seconds. `program`: the program writes its files. `save`: from the end of the save's block to the commit."""

    upload: float = 0.0
    download: float = 0.0
    program: float = 0.0
    save: float = 0.0
    restore: float = 0.0


@dataclass
class Memory:
    """The largest memory of the processes of a worker, in bytes by process id. `own`: without mapped files.

    `parent`: the process that starts the others.
    """

    parent: int
    own: dict[int, int] = field(default_factory=dict)
    resident: dict[int, int] = field(default_factory=dict)

    def look(self, pid: int) -> None:
        """Reads the numbers of a process, if it runs."""
        with contextlib.suppress(OSError, KeyError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            found = dict(line.split(":", 1) for line in lines)
            own, resident = (int(found[name].split()[0]) << 10 for name in ("RssAnon", "VmHWM"))
            self.own[pid] = max(own, self.own.get(pid, 0))
            self.resident[pid] = max(resident, self.resident.get(pid, 0))

    def of_light(self, found: dict[int, int]) -> int:
        """The largest number of a light process."""
        return max(value for pid, value in found.items() if pid != self.parent)


@contextmanager
def watched(worker: WorkerProcess) -> Iterator[Memory]:
    """The memory of a worker and of the processes that it starts."""
    memory, ended = Memory(worker.pid), threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            for pid in (worker.pid, *worker.children()):
                memory.look(pid)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


@contextmanager
def client_of(emulator: GcsEmulator | None, folder: Path) -> Iterator[store_client.Directory | store_client.Bucket]:
    """The client of a store."""
    if emulator is None:
        yield store_client.Directory(folder / "objects")
    else:
        yield store_client.Bucket(emulator.host, emulator.bucket)


@contextmanager
def emulator_of(kind: str) -> Iterator[GcsEmulator | None]:
    """An empty emulator; None for a directory."""
    if kind == "gcs":
        with gcs_emulator() as emulator:
            yield emulator
    else:
        yield None


def alone(kind: str, base: Path, size: Size, times: Times) -> None:
    """The client without Baton."""
    with tempfile.TemporaryDirectory(dir=base) as name, emulator_of(kind) as emulator:
        folder = Path(name)
        with client_of(emulator, folder) as client:
            files, copies = folder / "files", folder / "copies"
            for one in (files, copies):
                one.mkdir()
            saving_program.write(files, size.files, size.megabytes)
            begun = time.monotonic()
            store_client.transfer(client.upload, size.paths(files))
            times.upload = time.monotonic() - begun
            begun = time.monotonic()
            store_client.transfer(client.download, size.paths(copies))
            times.download = time.monotonic() - begun


@contextmanager
def served(folder: Path, redis: str, settings: dict[str, str]) -> Iterator[ServiceProcess]:
    """A service on SQLite, and a directory store without other settings. On a busy machine it may start slowly."""
    database, store = f"sqlite:///{folder}/baton.db", (folder / "store").as_uri()
    service = ServiceProcess(database, redis, store, folder / "service.log", settings=settings)
    try:
        service.spawn()
        service.await_ready(START_SECONDS)
        yield service
    finally:
        service.kill()


def measure(kind: str, base: Path, redis: str, size: Size) -> tuple[Times, Memory]:
    """One round of one store."""
    times = Times()
    with tempfile.TemporaryDirectory(dir=base) as name, emulator_of(kind) as emulator:
        folder = Path(name)
        settings = {"BATON_LEASE_SECONDS": "600"}  # also beside a disk that writes gigabytes
        if emulator is not None:
            settings |= {**emulator.environ, "BATON_STORE": emulator.store_url()}
        with served(folder, redis, settings) as service:
            alone(kind, base, size, times)
            return times, with_baton(service, folder, size, times)


def with_baton(service: ServiceProcess, folder: Path, size: Size, times: Times) -> Memory:
    """A program below a worker."""
    with workers(service, folder, "tests.support.light_worker") as started, service.client() as http:
        http.timeout = httpx.Timeout(START_SECONDS)
        worker, jobs = started.start("--programs"), Jobs(http)
        params = {"files": size.files, "megabytes": size.megabytes, "report": str(folder)}
        command = {"command": [sys.executable, "-m", saving_program.__name__], "environment": {"PYTHONPATH": str(ROOT)}}
        with watched(worker) as memory:
            job = jobs.submit(program("", program=command, params=params, limits={"stall": "1h"}))
            view = jobs.await_end(job, seconds=JOB_SECONDS)
        if view["status"] != "succeeded":
            raise RuntimeError(f"{view['status']}: {view['message']}\n{worker.log.read_text()[-3000:]}")
        begun, written, handed_over = json.loads((folder / "times.json").read_text())
        (checkpoint,) = jobs.items(job, "checkpoints")
        committed = datetime.fromisoformat(checkpoint["committed_at"]).timestamp()
        times.program, times.save = written - begun, committed - handed_over
        last = max(jobs.items(job, "attempts"), key=lambda one: int(one["attempt"]))
        times.restore = last["seconds"]["restore"]
        return memory


def show(kind: str, size: Size, times: Times, memory: Memory) -> None:
    """Prints one round."""
    client = store_client.Bucket if kind == "gcs" else store_client.Directory

    def row(what: str, seconds: float, baseline: float | None) -> tuple[str, ...]:
        ratio = "" if baseline is None else f"{baseline / seconds:.2f}"
        return what, f"{seconds:.1f}", f"{size.bytes / seconds / 1e6:.0f}", ratio

    rows = [
        row("the program writes its files", times.program, None),
        row(f"client alone: {client.uploads}", times.upload, None),
        row("Baton, from the end of the save to the commit", times.save, times.upload),
        row(f"client alone: {client.downloads}", times.download, None),
        row("Baton, restore", times.restore, times.download),
    ]
    table((f"{kind}, {size.bytes / 1e9:.2f} GB", "seconds", "MB/s", "of the client"), rows)
    own, resident = memory.of_light(memory.own), memory.of_light(memory.resident)
    print(f"light process: own memory {own / 1e6:.0f} MB, resident {resident / 1e6:.0f} MB at most")
    print(f"its parent: own memory {memory.own[memory.parent] / 1e6:.0f} MB at most")
    ratio = times.upload / times.save
    met = "met" if ratio >= TARGET_RATIO and own < TARGET_BYTES else "MISSED"
    print(
        f"target: at least {TARGET_RATIO} of the client's upload, below {TARGET_BYTES / 1e6:.0f} MB: {met}", flush=True
    )


def check_room(base: Path, size: Size, stores: list[str]) -> None:
    """Exits with a message if there is not enough room on the disk or in the memory."""
    need, free = COPIES * size.bytes, shutil.disk_usage(base).free
    if free < need:
        sys.exit(
            f"{base} has {free / 1e9:.1f} GB free, and the benchmark needs {need / 1e9:.1f} GB: set TMPDIR to a folder "
            "on another disk, or use a smaller --gigabytes"
        )
    if "gcs" in stores:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        need, free = EMULATOR_COPIES * size.bytes, int(lines["MemAvailable"].split()[0]) << 10
        if free < need:
            sys.exit(
                f"{free / 1e9:.1f} GB of memory are available, and the emulator, which keeps its objects in memory, "
                f"needs {need / 1e9:.1f} GB: use --stores directory, or a smaller --gigabytes"
            )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.program_files", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=3.0, help="size of all files (3)")
    parser.add_argument("--files", type=int, default=6, help="number of files (6)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of each store (1)")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    options = parser.parse_args()
    size = Size(options.files, max(1, round(options.gigabytes * 1e9 / options.files / MEBIBYTE)))
    with tempfile.TemporaryDirectory(prefix="bench-program-files-") as name, running_redis() as redis:
        base = Path(name)
        check_room(base, size, options.stores)
        heading(f"A checkpoint of {size.files} files of {size.megabytes} MiB, {TRANSFERS} transfers at a time")
        for kind in options.stores * options.rounds:
            show(kind, size, *measure(kind, base, redis.url, size))


if __name__ == "__main__":
    main()
