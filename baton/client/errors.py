"""What can go wrong between a client and the service."""

from __future__ import annotations

from typing import ClassVar

from baton.domain.errors import BatonError
from baton.domain.views import ProblemView


class ClientError(BatonError):
    """Base of the client's errors. The message says what to do next."""

    code: ClassVar[str] = "client"


class Unreachable(ClientError):
    """Nothing answered, or what answered was not able to."""

    code: ClassVar[str] = "unreachable"

    def __init__(self, url: str, cause: str, said: str | None = None) -> None:
        """`said`: the detail of an answer that says that the service cannot work now."""
        self.url, self.said = url, said
        super().__init__(f"no Baton service answers at {url} ({cause})")


class ApiError(ClientError):
    """The service refused. `problem` is its answer: status, code, detail, and the wrong fields of a spec."""

    code: ClassVar[str] = "refused"

    def __init__(self, problem: ProblemView) -> None:
        self.problem = problem
        said = problem.detail or problem.title
        fields = [f"{e.field}: {e.message}" for e in problem.errors]
        request = f" (request {problem.request_id})" if problem.request_id else ""
        listed = "" if fields == [said] else "".join(f"\n  {field}" for field in fields)
        super().__init__(said + request + listed)

    @property
    def request_id(self) -> str | None:
        """By what the service's log names the request."""
        return self.problem.request_id

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status


class DownloadError(ClientError):
    """A file did not arrive as it was stored."""

    code: ClassVar[str] = "download"


class ConfigurationError(ClientError):
    """The client does not know which service to ask, or as whom."""

    code: ClassVar[str] = "configuration"
