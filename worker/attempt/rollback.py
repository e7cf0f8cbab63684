"""Deletes what earlier attempts have recorded after the checkpoint from which an attempt continues."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from baton.domain.wire import BestMetric, Grant
from worker.api_client.client import Refused, ServiceClient

log = logging.getLogger(__name__)


def roll_back(
    client: ServiceClient,
    grant: Grant,
    retry: Callable[[str, Callable[[], None]], Any],
    after_step: int,
    after_epoch: int,
    best: BestMetric | None,
) -> None:
    """Deletes the points of series after a step, and the rows of the history after an epoch.

    `retry`: does a call until it succeeds; gets what the call does in words. `best`: the best epoch up to there.

    Raises:
        LeaseLost: another worker may have the attempt. What else `retry` raises.
    """
    held, fence = grant.attempt_id, grant.fence
    if grant.attempt == 1:
        return
    try:
        retry("resetting the series", lambda: client.rollback_series(held, fence, after_step))
        retry("resetting the history", lambda: client.rollback_history(held, fence, after_epoch, best))
    except Refused as error:
        # During an upgrade, a replica of an earlier release may answer. The attempt replaces most of the rows anyway.
        log.warning("what earlier attempts recorded after the checkpoint stays: %s", error)
