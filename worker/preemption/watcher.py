"""Watches the cloud's metadata server, in threads of the worker. Quiet where there is none."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Literal

import httpx

from baton.domain.backoff import backoff
from worker.preemption import gce
from worker.preemption.aws import AwsSource
from worker.preemption.azure import AzureSource
from worker.preemption.notice import NoticeDetails
from worker.preemption.source import Source

Choice = Literal["auto", "gce", "aws", "azure", "none"]
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
# A machine that just came up may reach its metadata server a little later.
PROBE_AFTER = (0.0, 5.0, 25.0)
# What a server that is no metadata server may make of a question.
NONSENSE = (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError)
Tell = Callable[[NoticeDetails], None]
log = logging.getLogger(__name__)


def sources() -> dict[str, list[Source]]:
    """What is watched, by cloud."""
    return {"gce": [gce.preemption(), gce.maintenance()], "aws": [AwsSource()], "azure": [AzureSource()]}


def watch_notices(choice: Choice, tell: Tell) -> None:
    """Calls `tell` with each word of the cloud, from threads that nobody waits for."""
    if choice == "none":
        return None
    if choice != "auto":
        log.info("watching for notices of %s (BATON_NOTICES)", choice)
        return _watch_all(sources()[choice], tell)
    threading.Thread(target=_find, args=(tell,), name="notices", daemon=True).start()
    return None


def _find(tell: Tell) -> None:
    for pause in PROBE_AFTER:
        threading.Event().wait(pause)
        for cloud, found in sources().items():
            if is_there(found[0]):
                log.info("this machine is one of %s: watching for its notices", cloud)
                return _watch_all(found, tell)
    log.debug("no metadata server of a cloud: only signals give notice")
    return None


def is_there(source: Source) -> bool:
    """Whether this machine is one of this cloud."""
    try:
        source.probe()
    except NONSENSE as error:
        log.debug("not %s: %r", source.name, error)
        return False
    return True


def _watch_all(found: Sequence[Source], tell: Tell) -> None:
    for source in found:
        threading.Thread(target=watch, args=(source, tell), name=f"notices-{source.name}", daemon=True).start()


def watch(source: Source, tell: Tell, wait: Callable[[float], object] | None = None) -> None:
    """Looks until the machine's end is certain. A server that is away is asked again, ever more seldom."""
    wait = wait or threading.Event().wait
    failures, warned = 0, False
    while True:
        try:
            word, failures = source.look(), 0
        except NONSENSE as error:
            word, failures = None, failures + 1
            level = logging.WARNING if failures == 3 else logging.DEBUG
            log.log(level, "no notices from %s while its metadata server does not answer: %r", source.name, error)
        if word is not None and (word.certain or not warned):
            warned = True
            tell(word)
            if word.certain:
                return
        wait(source.pause if not failures else pause_after(failures))


def pause_after(failures: int) -> float:
    """Seconds before the next try."""
    return backoff(FIRST_PAUSE, failures, LONGEST_PAUSE, random.random())  # noqa: S311 - jitter, not a secret
