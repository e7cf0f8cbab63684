"""Who may start a program of a user. A program is code: it may do all that the user of the worker may do."""

from __future__ import annotations

from baton.domain.extensions import PROGRAMS
from baton.domain.lenient_reading import names
from baton.domain.tokens import Scope
from service.db.tables import Job
from service.errors import Forbidden
from service.principal import Principal


def check_programs(caller: Principal) -> None:
    """Raise Forbidden unless the caller may start programs."""
    if not caller.may(Scope.PROGRAMS):
        has = ", ".join(sorted(caller.scopes))
        text = (
            f"the job is a program: to start it, a token needs the scope '{Scope.PROGRAMS}'; {caller.name} has: {has}"
        )
        raise Forbidden(text, (Scope.PROGRAMS,))


def check_start(caller: Principal, job: Job) -> None:
    """Raise Forbidden if the job is a program, and the caller may not start programs."""
    if PROGRAMS in names(job.needs):
        check_programs(caller)
