"""Errors of the service, in addition to baton.domain.errors. service.api.problems maps each code to a status."""

from __future__ import annotations

from collections.abc import Sequence

from baton.domain.errors import BatonError, SpecError
from baton.domain.store_identity import NOT_IN_STORE, STORE_UNREACHABLE, WRONG_STORE


class NotFound(BatonError):
    """The object does not exist."""

    code = "not-found"


class Conflict(BatonError):
    """The request conflicts with the current state."""

    code = "conflict"


class LimitReached(Conflict):
    """A concurrency limit is reached: the attempt waits, and is sent again when the limit allows it."""

    code = "limit-reached"


class NotInstalled(Conflict):
    """The worker lacks an extension that the job needs: the attempt waits for another worker."""

    code = "not-installed"


class WrongStore(Conflict):
    """The worker uses another store than the service. It gets no work."""

    code = WRONG_STORE


class StoreUnreachable(Conflict):
    """The worker cannot use its store now. It gets no work until it can."""

    code = STORE_UNREACHABLE


class NotInStore(Conflict):
    """The service does not find an object in its store that a worker has reported."""

    code = NOT_IN_STORE


class StoreInDoubt(Conflict):
    """The service's store is not the one that its database knows. No work is given out until an operator decides."""

    code = "store-in-doubt"


class WorkerTooOld(Conflict):
    """The worker does not understand what the job uses. The attempt waits for a newer worker."""

    code = "worker-too-old"


class PassedOver(Conflict):
    """The job's last attempt ended on this worker, for a reason that may not affect another. Others come first."""

    code = "passed-over"


class KeyReused(BatonError):
    """An idempotency key that was used with another body before."""

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
