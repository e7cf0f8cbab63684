"""Watches the metadata server of the cloud, in threads of the worker. Does nothing on a machine without one."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

import httpx

from baton.domain.backoff import backoff
from worker.preemption.clouds import Choice, sources
from worker.preemption.notice import NoticeDetails
from worker.preemption.port import Source

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
# Seconds before each probe: a machine that has just booted may reach its metadata server a little later.
PROBE_AFTER = (0.0, 5.0, 25.0)
# The errors of a probe if no server answers, or if the server is not the expected metadata server.
PROBE_ERRORS = (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError)
Report = Callable[[NoticeDetails], None]
log = logging.getLogger(__name__)


def watch_notices(choice: Choice, report: Report) -> None:
    """Calls `report` with each notice of the cloud, from daemon threads."""
    if choice == "none":
        return None
    if choice != "auto":
        log.info("watching for notices of %s (BATON_NOTICES)", choice)
        return _watch_all(sources()[choice], report)
    threading.Thread(target=_find, args=(report,), name="notices", daemon=True).start()
    return None


def _find(report: Report) -> None:
    for pause in PROBE_AFTER:
        threading.Event().wait(pause)
        for cloud, found in sources().items():
            if is_there(found[0]):
                log.info("this machine belongs to %s: watching for its notices", cloud)
                return _watch_all(found, report)
    log.debug("no metadata server of a cloud: only signals announce a preemption")
    return None


def is_there(source: Source) -> bool:
    """Whether this machine belongs to the cloud of this source."""
    try:
        source.probe()
    except PROBE_ERRORS as error:
        log.debug("not %s: %r", source.name, error)
        return False
    return True


def _watch_all(found: Sequence[Source], report: Report) -> None:
    for source in found:
        threading.Thread(target=watch, args=(source, report), name=f"notices-{source.name}", daemon=True).start()


def watch(source: Source, report: Report, wait: Callable[[float], object] | None = None) -> None:
    """Polls until there is a certain notice. After errors the pauses grow up to LONGEST_PAUSE."""
    wait = wait or threading.Event().wait
    failures, warned = 0, False
    while True:
        try:
            details, failures = source.look(), 0
        except PROBE_ERRORS as error:
            details, failures = None, failures + 1
            level = logging.WARNING if failures == 3 else logging.DEBUG
            log.log(level, "no notices from %s, because its metadata server does not answer: %r", source.name, error)
        if details is not None and (details.certain or not warned):
            warned = True
            report(details)
            if details.certain:
                return
        wait(source.pause if not failures else pause_after(failures))


def pause_after(failures: int) -> float:
    """Seconds before the next try."""
    return backoff(FIRST_PAUSE, failures, LONGEST_PAUSE, random.random())  # noqa: S311 - jitter, not a secret
