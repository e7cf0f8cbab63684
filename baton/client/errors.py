"""The errors of the client."""

from __future__ import annotations

from typing import ClassVar

from baton.domain.errors import BatonError
from baton.domain.views import ProblemView


class ClientError(BatonError):
    """Base of the client's errors. The message contains the next step."""

    code: ClassVar[str] = "client"


class Unreachable(ClientError):
    """The service does not answer, or it answers that it cannot work now. `said`: the detail of that answer."""

    code: ClassVar[str] = "unreachable"

    def __init__(self, url: str, cause: str, said: str | None = None) -> None:
        self.url, self.said = url, said
        super().__init__(f"no Baton service answers at {url} ({cause})")


class ApiError(ClientError):
    """The service refused the request. `problem`: its answer with status, code, detail, and the wrong fields of a spec.

    >>> import baton
    >>> try:
    ...     client.submit({"name": "x"})
    ... except baton.ApiError as error:
    ...     error.status, error.problem.errors[0].field
    (422, 'network')
    """

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
        """The id of the request in the service's log."""
        return self.problem.request_id

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status


class DownloadError(ClientError):
    """A downloaded file is damaged, or the store refused the download."""

    code: ClassVar[str] = "download"


class LocalDataError(ClientError):
    """Files of this machine cannot be pushed, or pulled data cannot be written. The message names them."""

    code: ClassVar[str] = "local-data"


class ConfigurationError(ClientError):
    """The URL or the token of the service is not known, or the URL is invalid."""

    code: ClassVar[str] = "configuration"
