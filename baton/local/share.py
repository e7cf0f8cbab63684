"""`baton up --share`: watches the tunnel, and reports the public address when the service answers at it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from baton.local.child_process import Child
from baton.local.tunnels import Tunnel

LOOK_SECONDS, CHECK_SECONDS = 0.5, 30.0
SLOW_SECONDS = 60.0
"""After this time without an address, or without an answer at the address, a message is printed."""
MISSES = 3
"""Failed checks in a row before a message says that the address does not answer any more."""


@dataclass(frozen=True)
class Shared:
    """A working share. `tunnel`: the name of its program. `script_sha256`: SHA-256 of GET /v1/install/worker.py."""

    url: str
    token: str
    script_sha256: str
    tunnel: str


@dataclass
class _Run:
    """One run of the tunnel's process, and which messages about it were printed."""

    process: int | None = None
    begun: float = 0.0
    url: str | None = None
    answered: bool = False
    next_check: float = 0.0
    misses: int = 0
    trouble: str | None = None
    slow: bool = False


class Share:
    """A context manager that watches the tunnel in a thread.

    `local_url`: the service on this machine. `tell`: called with each new address when the service answers at it.
    `say`: called with each error message.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        child: Child,
        local_url: str,
        token: str,
        tell: Callable[[Shared], None],
        say: Callable[[str], None],
    ) -> None:
        self._tunnel, self._child, self._local_url, self._token = tunnel, child, local_url, token
        self._tell, self._say = tell, say
        self._told: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="share", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=2)

    def _follow(self) -> None:
        run = _Run()
        while not self._ended.wait(LOOK_SECONDS):
            process, now = self._child.process, time.monotonic()
            if process is None:
                continue
            if process.pid != run.process:
                run = _Run(process.pid, begun=now)
            if run.url is None:
                self._find_url(run, now)
            elif now >= run.next_check:
                self._check(run, run.url, now)

    def _find_url(self, run: _Run, now: float) -> None:
        output = self._child.output()
        run.url = self._tunnel.url(output)
        trouble = None if run.url else self._tunnel.trouble(output)
        if trouble and trouble != run.trouble:
            run.trouble = trouble
            self._say(f"{self._tunnel.name} says: {trouble}")
        if run.url is None and now - run.begun > SLOW_SECONDS and not run.slow:
            run.slow = True
            self._say(f"{self._tunnel.name} shows no public address; its log is {self._child.spec.log}")

    def _check(self, run: _Run, url: str, now: float) -> None:
        wrong = _unreachable(url)
        if wrong is None:
            self._answers(run, url)
            run.next_check = now + CHECK_SECONDS
            return
        run.misses += 1
        if run.answered:
            run.next_check = now + CHECK_SECONDS
            if run.misses == MISSES:
                self._say(f"{url} does not answer any more from this machine ({wrong}); trying again")
        elif now - run.begun > SLOW_SECONDS and not run.slow:
            run.slow = True
            self._say(f"{url} does not answer yet from this machine ({wrong}); trying again")

    def _answers(self, run: _Run, url: str) -> None:
        if run.answered and run.misses >= MISSES:
            self._say(f"{url} answers again")
        run.misses = 0
        if run.answered:
            return
        if url == self._told:
            self._say(f"the tunnel runs again at the same address, {url}")
            run.answered = True
        elif digest := self._script_digest():
            self._told, run.answered = url, True
            self._tell(Shared(url, self._token, digest, self._tunnel.name))

    def _script_digest(self) -> str | None:
        """Digest of the install script, read without the tunnel: workers check the tunnel's answer with it."""
        try:
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = httpx.get(f"{self._local_url}/v1/install/worker.py", headers=headers, timeout=30.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            self._say(f"the service does not return its install script: {error}")
            return None
        return hashlib.sha256(answer.content).hexdigest()


def _unreachable(url: str) -> str | None:
    """Why the service does not answer at this address. None if it does."""
    try:
        answer = httpx.get(f"{url}/healthz", timeout=10.0)
        alive = answer.is_success and answer.json().get("status") == "alive"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError) as error:
        return str(error) or type(error).__name__
    return None if alive else f"status {answer.status_code}"
