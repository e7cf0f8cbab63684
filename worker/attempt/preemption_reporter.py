"""Adds an event for a notice at once. The event bypasses the upload queue, where it would wait for the state."""

from __future__ import annotations

import logging
import threading
from functools import partial

from baton.domain.errors import LeaseLost
from baton.domain.note_limits import fitting_data, fitting_text
from baton.domain.wire import Grant, Note
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.preemption.notice import Notice, NoticeDetails
from worker.retry import retry_call

KIND = "notice"
CLOSE_SECONDS = 2.0
log = logging.getLogger(__name__)


class PreemptionReporter:
    """Sends the notices that arrive during an attempt, in a separate thread: a slow service blocks nothing."""

    def __init__(self, client: ServiceClient, grant: Grant, notice: Notice) -> None:
        self._client, self._grant, self._notice = client, grant, notice
        self._thread = threading.Thread(target=self._run, name="preemption reporter", daemon=True)

    def __enter__(self) -> PreemptionReporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._notice.news.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (details := self._notice.news.get()) is not None:
            try:
                retry_call(partial(self._send, details), seconds=details.seconds)
            except (ServiceUnavailable, Refused, LeaseLost) as error:
                log.warning("could not add the notice to the job's log: %s", error)

    def _send(self, details: NoticeDetails) -> None:
        text = f"{details}: the machine may be preempted; saving now, then training continues"
        if details.certain:
            text = f"{details}: the machine goes away in {details.seconds:.0f} s, saving and handing over"
        data = {
            "source": details.source,
            "cause": details.cause,
            "seconds": round(details.seconds, 1),
            "certain": details.certain,
        }
        note = Note(fence=self._grant.fence, kind=KIND, message=fitting_text(text), data=fitting_data(data))
        self._client.note(self._grant.attempt_id, note)
