"""Claims an attempt for this worker. Gives it back if the grant cannot be read."""

from __future__ import annotations

import logging
import time
import uuid

from baton.domain.errors import LeaseLost
from baton.domain.store_identity import STORE_UNREACHABLE, WRONG_STORE
from baton.domain.wire import Claim, Grant, GrantHead, WorkerInfo
from baton.storage import BlobStore
from worker.api_client.client import GrantUnreadable, Refused, ServiceClient, ServiceUnavailable
from worker.attempt.failures import failed
from worker.ipc.progress import advanced
from worker.retry import retry_call
from worker.store_access.own_store import describe_in_time

CLAIM_SECONDS, FINISH_SECONDS = 60.0, 600.0
log = logging.getLogger(__name__)


def new_claim_id() -> str:
    """The id of a new claim. A claim that is repeated with the same id gets the same grant, also in another process."""
    return uuid.uuid4().hex


def claim_attempt(
    client: ServiceClient, store: BlobStore | None, worker: WorkerInfo, attempt_id: str, claim_id: str
) -> Grant | None:
    """The grant; None if another worker has the attempt, or if the claim failed.

    `store`: the worker's own. Each claim describes it: another store may have been mounted since the worker started.
    """
    described = worker if store is None else worker.model_copy(update={"store": describe_in_time(store)})
    claim = Claim(claim_id=claim_id, worker=described)
    try:
        return retry_call(lambda: client.claim(attempt_id, claim), seconds=CLAIM_SECONDS)
    except (Refused, ServiceUnavailable) as error:
        wrong = isinstance(error, Refused) and error.problem in (WRONG_STORE, STORE_UNREACHABLE)
        log.log(logging.ERROR if wrong else logging.INFO, "did not get attempt %s: %s", attempt_id, error)
    except GrantUnreadable as error:
        log.error("%s", error)
        give_back(client, error.head, error)
    return None


def give_back(client: ServiceClient, held: Grant | GrantHead, error: Exception) -> None:
    """Gives the attempt to other workers again. Otherwise the job would wait until the lease expires."""
    finish = failed(held.fence, error, None)
    try:
        retry_call(lambda: client.finish(held.attempt_id, finish), wait=wait_for_service, seconds=FINISH_SECONDS)
    except (Refused, ServiceUnavailable, LeaseLost) as answer:
        log.warning("could not give attempt %s back: %s", held.attempt_id, answer)


def wait_for_service(seconds: float) -> None:
    """Waits for an unavailable service. Each failed try counts as progress, because an outage is not a stall."""
    advanced("waiting for the service")
    time.sleep(seconds)
