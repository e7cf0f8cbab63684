"""Keeps child processes running, and stops them in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from baton.local.child_process import Child, ChildSpec, describe_end
from baton.local.errors import StackError
from baton.local.signals import Signals

CHECK_SECONDS = 0.5


class Children:
    """Starts children in the given order, restarts those that end, stops them in reverse order."""

    def __init__(
        self, signals: Signals, say: Callable[[str], None], on_change: Callable[[Mapping[str, int]], None]
    ) -> None:
        self._signals = signals
        self._say = say
        self._on_change = on_change
        self._children: list[Child] = []
        self._due: dict[Child, float] = {}

    def start(self, spec: ChildSpec) -> Child:
        """Starts a child. `run` restarts it if it ends."""
        child = Child(spec)
        self._children.append(child)
        self._launch(child)
        return child

    def _launch(self, child: Child) -> None:
        try:
            child.start(time.monotonic())
        except OSError as error:
            raise StackError(f"cannot start {child.spec.name}: {error}") from error
        self._due.pop(child, None)
        self._on_change({c.spec.name: c.process.pid for c in self._children if c.process is not None})

    def await_ready(self, child: Child, ready: Callable[[], bool], seconds: float) -> None:
        """Waits until `ready` returns true, at most `seconds`.

        Raises:
            StackError: the child ended or took too long. The message contains the end of its log.
            KeyboardInterrupt: a signal asked to stop.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self._signals.asked:
                raise KeyboardInterrupt
            if child.ended is not None:
                raise StackError(self._failed(child, describe_end(child.ended)))
            if time.monotonic() > deadline:
                raise StackError(self._failed(child, f"was not ready after {seconds:g} s"))
            self._signals.wait(0.1)

    def _failed(self, child: Child, what: str) -> str:
        return f"{child.spec.name} {what}; its log ({child.spec.log}) ends with:\n{child.last_words()}"

    def run(self) -> None:
        """Restarts children that end. Returns when a signal asks to stop."""
        while not self._signals.asked:
            now = time.monotonic()
            for child in self._children:
                self._revive(child, now)
            pause = min([CHECK_SECONDS, *(due - now for due in self._due.values())])
            self._signals.wait(pause)

    def _revive(self, child: Child, now: float) -> None:
        status = child.ended
        if status is None:
            return
        if child not in self._due:
            child.kill()
            delay = child.delay(now)
            self._due[child] = now + delay
            self._say(f"{child.spec.name} {describe_end(status)}; starting it again in {delay:.1f} s")
        if now >= self._due[child]:
            self._launch(child)

    def stop(self) -> None:
        """Stops all children, the last started first. Children of one kind stop together. A second signal kills them
        without waiting.
        """
        patience = min(self._signals.asked, 1)
        while self._children:
            kind = _kind(self._children[-1])
            self._stop_together([child for child in self._children if _kind(child) == kind], patience)

    def _stop_together(self, children: Sequence[Child], patience: int) -> None:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + max(child.spec.grace for child in children)
        while any(child.ended is None for child in children):
            if self._signals.asked > patience or time.monotonic() > deadline:
                break
            self._signals.wait(0.1)
        for child in children:
            child.kill()
            self._children.remove(child)


def _kind(child: Child) -> str:
    """The name without its number. So all workers are of one kind."""
    return child.spec.name.partition("-")[0]
