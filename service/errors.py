"""Errors of the service, in addition to baton.domain.errors. service.api.problems maps each code to a status."""

from __future__ import annotations

from collections.abc import Sequence

from baton.domain.errors import BatonError, FieldError, SpecError
from baton.domain.store_identity import NOT_IN_STORE, STORE_UNREACHABLE, WRONG_STORE


class NotFound(BatonError):
    """The object does not exist."""

    code = "not-found"


class Conflict(BatonError):
    """The request conflicts with the current state."""

    code = "conflict"


class ChangedMeanwhile(BatonError):
    """The object is not in the version that the request expects (If-Match)."""

    code = "changed-meanwhile"


class LimitReached(Conflict):
    """A concurrency limit is reached. The attempt waits, and is offered again when the limit allows it."""

    code = "limit-reached"


class NotInstalled(Conflict):
    """The worker lacks an extension that the job needs: the attempt waits for another worker."""

    code = "not-installed"


class WrongStore(Conflict):
    """The worker uses another store than the service. Such a worker gets no work."""

    code = WRONG_STORE


class StoreUnreachable(Conflict):
    """The worker cannot use its store now. The worker gets no work until it can use the store."""

    code = STORE_UNREACHABLE


class NotInStore(Conflict):
    """The service does not find an object in its store that a worker has reported."""

    code = NOT_IN_STORE


class StoreInDoubt(Conflict):
    """The service's store is not the store in its database. The service gives no work until an operator decides."""

    code = "store-in-doubt"


class WorkerTooOld(Conflict):
    """The worker does not support a feature that the job uses. The attempt waits for a newer worker."""

    code = "worker-too-old"


class PassedOver(Conflict):
    """The job's last attempt failed on this worker, and may succeed on another one. Other workers have priority."""

    code = "passed-over"


class KeyReused(BatonError):
    """An earlier request used the same idempotency key with another body."""

    code = "idempotency-key-reused"


class BadMessage(SpecError):
    """A worker's message that is well formed but contradicts the database."""

    code = "invalid-message"


class MalformedBody(BatonError):
    """A body that cannot be parsed or stored."""

    code = "malformed-body"


class UnsupportedMedia(BatonError):
    """A body of an unsupported media type."""

    code = "unsupported-media-type"


class Unauthorized(BatonError):
    """No token, or a wrong one. `scopes`: one of them is required."""

    code = "unauthorized"

    def __init__(self, message: str, scopes: Sequence[str] = ()) -> None:
        self.scopes = tuple(scopes)
        super().__init__(message)


class InvalidRequest(BatonError):
    """Parameters of the request contradict each other."""

    code = "invalid-request"


class PartsMissing(Conflict):
    """Parts of an upload are missing, so the object cannot be made."""

    code = "parts-missing"


class Forbidden(BatonError):
    """A token without the required scope. `scopes`: one of them is required."""

    code = "forbidden"

    def __init__(self, message: str, scopes: Sequence[str] = ()) -> None:
        self.scopes = tuple(scopes)
        super().__init__(message)


class ForeignPage(Forbidden):
    """A write with a session cookie that a page of another site sent, or without the CSRF header."""

    code = "csrf"


class TooManyFailures(BatonError):
    """Too many wrong tokens from one address in the last minute. `seconds`: how long to wait."""

    code = "too-many-failures"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many wrong tokens from this address: try again in {seconds} s with a valid token")


class TooManyAtOnce(BatonError):
    """The caller has too many concurrent requests. `most`: the limit. `who`: the caller."""

    code = "too-many-at-once"

    def __init__(self, most: int, who: str = "this caller has") -> None:
        super().__init__(f"{who} {most} concurrent requests, which is the limit: end some, or try again in a moment")


class TooManyWrites(BatonError):
    """An attempt exceeds the rate limit for this kind of write. `seconds`: until the next is allowed."""

    code = "too-many-writes"

    def __init__(self, what: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"this attempt has sent too many {what}: the next is accepted in {seconds} s")


class BodyTooLarge(BatonError):
    """A body above the size limit. `limit`: in bytes."""

    code = "body-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")


class BodyTooSlow(BatonError):
    """A body that did not arrive completely in time. `seconds`: the limit."""

    code = "body-too-slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not arrive within {seconds:g} s")


class WrongDigest(BatonError):
    """The digest of the bytes is not the one in the request."""

    code = "wrong-digest"


class PacksMissing(SpecError):
    """The store lacks packs of a manifest. `errors`: the digests of the first of them."""

    code = "packs-missing"

    def __init__(self, missing: Sequence[str], shown: int) -> None:
        super().__init__([FieldError(sha256, "is not in the store") for sha256 in missing[:shown]])
        self.args = (f"{len(missing)} packs of this manifest are not in the store: send them, then the manifest again",)


class DataInUse(Conflict):
    """Unfinished jobs need the pushed data."""

    code = "data-in-use"


class DataQuota(BatonError):
    """Pushed data has reached the limit of BATON_DATA_BYTES, or the quota of the project."""

    code = "data-quota"


class CodeQuota(BatonError):
    """Code bundles have reached the limit of BATON_CODE_BYTES, or the quota of the project."""

    code = "code-quota"


class ProjectQuota(BatonError):
    """A quota of the project is reached. The text names the quota, its limit and the current number."""

    code = "project-quota"


class BeingDeleted(BatonError):
    """The object is being deleted from the store. It can be written again after that. `seconds`: how long to wait."""

    code = "busy"
    seconds = 5

    def __init__(self) -> None:
        super().__init__("an unused object with this digest is being deleted: send it again in a moment")
