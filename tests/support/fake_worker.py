"""`python -m tests.support.fake_worker`: `python -m worker` whose training processes train in milliseconds.

They are forked from it, with all modules imported (see tests.support.forked). With BATON_FAKE_EXEC=1 it starts an
interpreter for each of them, as a real worker does.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import httpx
from pydantic import BaseModel, RootModel

from tests.support import fake_process
from tests.support.forked import Forked, import_what_requests_import, replace_popen
from worker.__main__ import main
from worker.api_client.client import ServiceClient


def _fork_in_place_of_exec() -> None:
    if os.environ.get("BATON_STORE", "").startswith("gs:"):
        import baton.storage.gcs  # noqa: F401
    import_what_requests_import()
    replace_popen(Forked)


NEW_FIELDS = ("protocol", "spec_version", "store", "problem")
"""Fields that messages of an earlier release (commit e9172d9) do not have."""


def _speak_as_the_last_release() -> None:
    """Leave the new fields out of all messages."""
    send = ServiceClient._post

    def post(self: ServiceClient, path: str, message: BaseModel, *more: Any, **options: Any) -> httpx.Response:
        return send(self, path, _Older(_without_new(message.model_dump(mode="json"))), *more, **options)

    ServiceClient._post = post  # type: ignore[method-assign]


class _Older(RootModel[dict[str, Any]]):
    """A message without the new fields."""


def _without_new(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_new(one) for key, one in value.items() if key not in NEW_FIELDS}
    return value


if __name__ == "__main__":
    if os.environ.get("BATON_FAKE_OLD"):
        _speak_as_the_last_release()
    if not os.environ.get("BATON_FAKE_EXEC"):
        _fork_in_place_of_exec()
    sys.exit(main(fake_process.__name__))
