"""Access tokens, their scopes, the audit log and browser sessions, for service, client and dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from baton.domain.open_enums import ShownAudit
from baton.domain.projects import DEFAULT, ProjectName
from baton.domain.queues import QUEUE
from baton.domain.validation import NUMBER, FieldValueError, Model
from baton.domain.wire import Message

MAX_EXPIRY = 10 * 366 * 86_400.0
# Actor names in the logs for requests without a named token. A token cannot have one of these names.
OWNER, NOBODY = "user", "nobody"
WORK_BOOTSTRAP, READ_BOOTSTRAP, TUNNEL_BOOTSTRAP = "work-bootstrap", "read-bootstrap", "tunnel-bootstrap"
TAKEN_NAMES = (OWNER, NOBODY, "conductor", WORK_BOOTSTRAP, READ_BOOTSTRAP, TUNNEL_BOOTSTRAP)
TOKEN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$"  # noqa: S105 - a form, no secret


class Scope(StrEnum):
    """What a token may do. `admin` includes all others; the others include only themselves."""

    READ = "read"
    SUBMIT = "submit"
    DATA = "data"
    PROGRAMS = "programs"
    WORK = "work"
    ADMIN = "admin"


MEANINGS = {
    Scope.READ: "read jobs, their events, logs and files, plans and workers",
    Scope.SUBMIT: "submit, pause, resume and cancel jobs, and preview plans",
    Scope.DATA: "push and delete data sets",
    Scope.PROGRAMS: "push code; with `submit`: submit, resume and retry jobs that run a program of a user",
    Scope.WORK: "claim attempts and train them",
    Scope.ADMIN: "everything, including tokens and the audit log",
}


def _no_other(name: str) -> str:
    if name in TAKEN_NAMES:
        raise ValueError("is a reserved name in the audit log")
    return name


def _in_order(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    return tuple(scope for scope in Scope if scope in set(scopes))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


QueueName = Annotated[str, Field(pattern=QUEUE)]
TokenName = Annotated[
    str,
    Field(pattern=TOKEN_NAME, json_schema_extra={"not": {"enum": list(TAKEN_NAMES)}}),
    AfterValidator(_no_other),
]


class TokenRequest(Model):
    """Asks for a token. Unknown fields are refused: a misspelt expiry must not create a token that never expires.

    `project`: the project whose jobs, data and code the token may use; a token with the scope `admin` may use all.
    `queues`: with `submit`, the only queues that it may submit into; with `work`, the only queues that it may serve.
    """

    name: TokenName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope)), AfterValidator(_in_order)]
    expires_seconds: Annotated[float, Field(ge=1, le=MAX_EXPIRY), NUMBER] | None = None
    project: ProjectName | None = None
    queues: Annotated[tuple[QueueName, ...], Field(min_length=1, max_length=100), AfterValidator(_sorted)] | None = None

    @model_validator(mode="after")
    def _bound(self) -> Self:
        if Scope.ADMIN in self.scopes and (self.queues is not None or self.project not in (None, DEFAULT)):
            raise FieldValueError(
                "scopes", "must not have admin, because an administrator is bound to no project or queue"
            )
        return self


class TokenView(Message):
    """A token without its secret. `prefix`: its first characters. `last_used_at` may be some minutes old.

    `project`: the project that it belongs to; not used if it has the scope `admin`. `queues`: the queues that it is
    bound to; None: all.
    """

    id: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    project: str = DEFAULT
    queues: tuple[str, ...] | None = None


class TokenCreated(TokenView):
    """A new token with its secret, which is sent only once."""

    token: str = Field(repr=False)


class TokenPage(Message):
    """A page of tokens, newest first. `next_cursor` is None on the last page."""

    items: list[TokenView]
    next_cursor: str | None


class AuditView(Message):
    """An entry of the audit log. `actor`: a token's name, `user` for BATON_TOKEN, or `nobody`. `subject`: the id of the
    job or token.
    """

    number: int
    at: datetime
    kind: ShownAudit
    actor: str
    token_id: str | None
    subject: str | None
    message: str
    data: dict[str, Any]


class AuditPage(Message):
    """A page of the audit log, newest first. `next_cursor` is None on the last page."""

    items: list[AuditView]
    next_cursor: str | None


class SessionRequest(Model):
    """Asks for a browser session. `token`: a token, or the code of a sign-in link, which is valid once."""

    token: Annotated[str, Field(min_length=1, max_length=500, repr=False)]


class LinkView(Message):
    """A link that signs a browser in. `path`: below the service's address, with the code in the fragment."""

    path: str = Field(repr=False)
    expires_at: datetime


class SessionView(Message):
    """The caller's name and scopes. `csrf`: for a browser session, the value of the header Baton-CSRF in each write.

    `project`: the only project that the caller sees; None: all. `queues`: the queues that it is bound to; None: all.
    """

    name: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None
    csrf: str | None = None
    project: str | None = None
    queues: tuple[str, ...] | None = None
