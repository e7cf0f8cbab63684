"""Claims an attempt for this worker. Gives it back if the grant cannot be read."""

from __future__ import annotations

import logging
import time
import uuid

from baton.domain.errors import LeaseLost
from baton.domain.store_identity import STORE_UNREACHABLE, WRONG_STORE
from baton.domain.wire import Claim, Grant, WorkerInfo
from baton.storage import BlobStore
from worker.api_client.client import GrantUnreadable, Refused, ServiceClient, ServiceUnavailable
from worker.attempt.failures import failed
from worker.ipc.progress import advanced
from worker.retry import retry_call
from worker.store_identity import describe_in_time

CLAIM_SECONDS, FINISH_SECONDS = 60.0, 600.0
log = logging.getLogger(__name__)


def claim_attempt(client: ServiceClient, store: BlobStore, worker: WorkerInfo, attempt_id: str) -> Grant | None:
    """The grant; None if another worker has the attempt, or if the claim failed.

    Each claim describes the store: another store may have been mounted since the worker started.
    """
    described = worker.model_copy(update={"store": describe_in_time(store)})
    claim = Claim(claim_id=uuid.uuid4().hex, worker=described)
    try:
        return retry_call(lambda: client.claim(attempt_id, claim), seconds=CLAIM_SECONDS)
    except (Refused, ServiceUnavailable) as error:
        wrong = isinstance(error, Refused) and error.problem in (WRONG_STORE, STORE_UNREACHABLE)
        log.log(logging.ERROR if wrong else logging.INFO, "did not get attempt %s: %s", attempt_id, error)
    except GrantUnreadable as error:
        log.error("%s", error)
        _give_back(client, error)
    return None


def _give_back(client: ServiceClient, error: GrantUnreadable) -> None:
    """Gives the attempt back for another worker. Otherwise the job would wait until the lease expires."""
    finish = failed(error.head.fence, error, None)
    try:
        retry_call(lambda: client.finish(error.head.attempt_id, finish), wait=wait_for_service, seconds=FINISH_SECONDS)
    except (Refused, ServiceUnavailable, LeaseLost) as answer:
        log.warning("could not give attempt %s back: %s", error.head.attempt_id, answer)


def wait_for_service(seconds: float) -> None:
    """Waits for an unavailable service. Each failed try counts as progress, because an outage is not a stall."""
    advanced("waiting for the service")
    time.sleep(seconds)
