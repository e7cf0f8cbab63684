"""Claims an attempt for this worker, or gives it back where the grant cannot be read."""

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
    """The grant, or None if another worker has the attempt or it cannot be had now.

    The store is described for each claim: since the start of the worker another one may have been mounted.
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
    """Give the attempt back for another worker. Otherwise the job would wait until the lease expires."""
    finish = failed(error.head.fence, error, None)
    try:
        retry_call(lambda: client.finish(error.head.attempt_id, finish), wait=wait_for_service, seconds=FINISH_SECONDS)
    except (Refused, ServiceUnavailable, LeaseLost) as answer:
        log.warning("attempt %s was not given back: %s", error.head.attempt_id, answer)


def wait_for_service(seconds: float) -> None:
    """Waits for an unavailable service. Its answer that it is unavailable counts as progress: this is no stall."""
    advanced("waiting for the service")
    time.sleep(seconds)
