"""What the service refuses, beside the errors of baton.domain. Each code has its status in service.api.problems."""

from __future__ import annotations

from collections.abc import Sequence

from baton.domain.errors import BatonError, SpecError
from baton.domain.store_identity import NOT_IN_STORE, STORE_UNREACHABLE, WRONG_STORE


class NotFound(BatonError):
    """There is no such thing."""

    code = "not-found"


class Conflict(BatonError):
    """What was asked does not go together with what is."""

    code = "conflict"


class LimitReached(Conflict):
    """No place is free: the attempt waits, and is sent again when one is."""

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
    """An idempotency key that came with another body before."""

    code = "idempotency-key-reused"


class BadMessage(SpecError):
    """A worker's message that is well formed but cannot be true."""

    code = "invalid-message"


class MalformedBody(BatonError):
    """A body that cannot be read."""

    code = "malformed-body"


class UnsupportedMedia(BatonError):
    """A body of a kind that is not read here."""

    code = "unsupported-media-type"


class RangeRefused(BatonError):
    """A range beyond the end of a file."""

    code = "range-not-satisfiable"


class Unauthorized(BatonError):
    """No token, or a wrong one. `scopes`: of which one would do."""

    code = "unauthorized"

    def __init__(self, message: str, scopes: Sequence[str] = ()) -> None:
        self.scopes = tuple(scopes)
        super().__init__(message)


class Forbidden(BatonError):
    """A token that does not open this. `scopes`: of which one would do."""

    code = "forbidden"

    def __init__(self, message: str, scopes: Sequence[str] = ()) -> None:
        self.scopes = tuple(scopes)
        super().__init__(message)


class ForeignPage(Forbidden):
    """A write with a session's cookie that no page of the service's own can have sent."""

    code = "csrf"


class TooManyFailures(BatonError):
    """Too many wrong tokens came from there lately. `seconds`: to wait."""

    code = "too-many-failures"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many wrong tokens came from this address: try again in {seconds} s, with a right one")


class TooManyAtOnce(BatonError):
    """The caller has too many concurrent requests. `most`: the limit. `who`: the caller."""

    code = "too-many-at-once"

    def __init__(self, most: int, who: str = "this caller has") -> None:
        super().__init__(f"{who} {most} requests under way, and may not have more: end some, or try again in a moment")


class TooManyWrites(BatonError):
    """An attempt makes too many writes of a kind without another bound. `seconds`: until the next is allowed."""

    code = "too-many-writes"

    def __init__(self, what: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"this attempt has sent too many {what}: the next is taken in {seconds} s")


class BodyTooLarge(BatonError):
    """A body that is longer than any that makes sense. `limit`: in bytes."""

    code = "body-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a body may have {limit} bytes")


class BodyTooSlow(BatonError):
    """A body whose end did not come in time. `seconds`: that it may take."""

    code = "body-too-slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not come within {seconds:g} s")
