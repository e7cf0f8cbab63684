"""`baton doctor`: checks everything that Baton needs, and gives advice."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from json import dumps, loads
from pathlib import Path

import typer
from rich.text import Text

from baton.cli.app import DONE, Json, app, client_for, console, exit_status
from baton.cli.disk_checks import disks
from baton.client.client import Client
from baton.client.connection import Connection, find_connection
from baton.client.errors import Unreachable
from baton.domain.errors import BatonError
from baton.domain.store_identity import shown_url
from baton.local.programs import child_environment
from baton.system.caches import default_cache
from baton.system.data_cache import cached_data, data_folder, in_use

FREE_BYTES = 2 * 10**9
# Google's and Amazon's stores refuse a signature if the clock is wrong by 15 minutes. The warning comes much earlier.
CLOCK_SECONDS = 30.0
PACKAGES = ("baton-train", "fastapi", "rq", "redis", "sqlalchemy", "httpx")
MARKS = {"ok": "green", "note": "yellow", "bad": "bold red"}


@dataclass(frozen=True)
class Finding:
    """The result of one check. `verdict`: ok, note (works, with a limitation) or bad. `status`: exit status if bad."""

    verdict: str
    what: str
    text: str
    status: int = 1


def python_version() -> Iterator[Finding]:
    """Whether Baton is tested with this version of Python."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    text = f"{platform.python_version()} at {sys.executable}"
    yield Finding("ok" if fits else "bad", "Python", text if fits else f"{text}: use 3.11, 3.12 or 3.13")


def versions() -> Iterator[Finding]:
    """The installed versions of Baton and its main dependencies."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed as a package")
    yield Finding("ok", "versions", ", ".join(found))


def tensorflow() -> Iterator[Finding]:
    """Whether a worker could train here. Runs in another process, because TensorFlow does not release its memory."""
    command = [sys.executable, "-m", "worker.training.devices"]
    try:
        answer = subprocess.run(
            command, env=child_environment(os.environ), check=False, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        yield Finding("bad", "TensorFlow", "did not start within two minutes: is this machine out of memory?")
        return
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("note", "TensorFlow", f"cannot be imported ({last}): workers need it, run `make install`")
        return
    found = loads(answer.stdout.splitlines()[-1])
    if found["problem"]:
        yield Finding("bad", "TensorFlow", f"{found['version']}, workers here take no work: {found['problem']}")
        return
    gpus = f"{found['gpus']} GPU" if found["gpus"] else "no GPU: it trains on the CPU"
    yield Finding("ok", "TensorFlow", f"{found['version']}, {gpus}")


def redis_binary() -> Iterator[Finding]:
    """The Redis server that `baton up` would start."""
    from baton.local.redis_server import find_binary

    try:
        binary = find_binary()
        answer = subprocess.run([binary, "--version"], check=False, capture_output=True, text=True, timeout=10)
    except (BatonError, OSError, subprocess.TimeoutExpired) as error:
        yield Finding("note", "Redis", f"`baton up` cannot start one: {error}")
        return
    yield Finding("ok", "Redis", f"{' '.join(answer.stdout.split()[:3])} at {binary}")


def disk_space() -> Iterator[Finding]:
    """Whether the disks of database, store, cache and temporary files have free space."""
    for disk in disks():
        text = f"{disk.free / 1e9:.1f} GB free for {disk.text}"
        if disk.full:
            yield Finding("bad", "disk", f"full, for {disk.text}: make room there, or choose another place")
        elif disk.wrong is not None:
            yield Finding("bad", "disk", f"not writable ({disk.wrong}), for {disk.text}: check the mount")
        elif disk.free < FREE_BYTES:
            yield Finding("note", "disk", f"{text}: make room, or choose another place with `baton up --data DIR`")
        else:
            yield Finding("ok", "disk", text)


def fetched_data() -> Iterator[Finding]:
    """How much space pushed data and data from URLs use in the cache of this machine's workers."""
    folder = data_folder(Path(os.environ.get("BATON_CACHE") or default_cache()))
    found = cached_data(folder)
    if not found:
        return
    used = sum(in_use(folder, one.key) for one in found)
    text = (
        f"{sum(one.size for one in found) / 1e9:.1f} GB of {len(found)} fetched data sets, {used} in use, in {folder}"
    )
    yield Finding("ok", "cache", text)


def store() -> Iterator[Finding]:
    """Whether the bucket in BATON_STORE can be used from here, and does what Baton needs."""
    url = os.environ.get("BATON_STORE", "")
    if not url or url.startswith("file:"):  # disk_space checks a directory
        return
    from baton.storage import StoreError, open_store
    from baton.storage.trial import missing_abilities

    try:
        missing = missing_abilities(open_store(url))
    except StoreError as error:
        yield Finding("bad", "store", str(error))
        return
    for one in missing:
        yield Finding("bad", "store", f"{shown_url(url)} cannot be used: {one}")
    if not missing:
        yield Finding("ok", "store", f"{shown_url(url)} answers; conditional writes and checksums work")


def service() -> Iterator[Finding]:
    """Whether a service answers, is ready, and accepts the token."""
    try:
        connection = find_connection()
    except BatonError as error:
        yield Finding("bad", "service", str(error), exit_status(error))
        return
    yield from _ask(connection)


def _ask(connection: Connection) -> Iterator[Finding]:
    with client_for(connection) as client:
        for what, question in QUESTIONS:
            try:
                yield from question(client, connection)
            except BatonError as error:
                yield Finding("bad", what, _refused(what, connection, error), exit_status(error))
                return


def _ready(client: Client, connection: Connection) -> Iterator[Finding]:
    answer = client.ready()
    yield Finding("ok", "service", f"ready at {connection.url} (from {connection.source})")
    parts = ", ".join(f"{name} {state}" for name, state in answer.get("checks", {}).items())
    yield Finding("ok", "its parts", parts or "none reported")


def _token(client: Client, _: Connection) -> Iterator[Finding]:
    yield Finding("ok", "token", f"valid, with the scopes {', '.join(client.whoami().scopes)}")


def _clock(client: Client, _: Connection) -> Iterator[Finding]:
    ahead = client.clock_offset()
    if abs(ahead) <= CLOCK_SECONDS:
        yield Finding("ok", "clock", "agrees with the service's")
        return
    text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    yield Finding("note", "clock", f"{text}: synchronize it (NTP), because buckets refuse requests with a wrong time")


QUESTIONS: tuple[tuple[str, Callable[[Client, Connection], Iterator[Finding]]], ...] = (
    ("service", _ready),
    ("token", _token),
    ("clock", _clock),
)


def _refused(what: str, connection: Connection, error: BatonError) -> str:
    if isinstance(error, Unreachable) and error.said:
        return f"answers at {connection.url}, but cannot work: {error.said}"
    if what == "token":
        return f"{error}: set BATON_TOKEN to a token of this service"
    return f"{error}: start one with `baton up`, or see its log (.baton/logs/service.log)"


CHECKS = (python_version, versions, tensorflow, redis_binary, disk_space, fetched_data, store, service)


@app.command()
def doctor(json: Json = False) -> None:
    """Check this machine and the service, and give advice."""
    found = []
    for check in CHECKS:
        for finding in check():
            found.append(finding)
            if not json:
                _show(finding)
    if json:
        print(dumps([asdict(finding) for finding in found], indent=2))
    raise typer.Exit(next((finding.status for finding in found if finding.verdict == "bad"), DONE))


def _show(finding: Finding) -> None:
    line = Text(f"{finding.verdict:<5}", style=MARKS[finding.verdict])
    line.append(f"{finding.what:<11}", style="bold").append(finding.text, style="default")
    console().print(line, soft_wrap=True)
