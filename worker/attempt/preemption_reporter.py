"""Tells the job's log of a notice at once, beside the upload queue: the state that is saved then would hold it up."""

from __future__ import annotations

import logging
import threading

from baton.domain.errors import LeaseLost
from baton.domain.note_limits import fitting_data, fitting_text
from baton.domain.wire import Grant, Note
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.preemption.notice import Notice, NoticeDetails
from worker.retry import retry_call

KIND = "notice"
LAST_WORD_SECONDS = 2.0
log = logging.getLogger(__name__)


class PreemptionReporter:
    """Sends what `notice` hears while an attempt is held. A service that is away holds nobody up."""

    def __init__(self, client: ServiceClient, grant: Grant, notice: Notice) -> None:
        self._client, self._grant, self._notice = client, grant, notice
        self._thread = threading.Thread(target=self._run, name="preemption reporter", daemon=True)

    def __enter__(self) -> PreemptionReporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._notice.news.put(None)
        self._thread.join(LAST_WORD_SECONDS)

    def _run(self) -> None:
        while (word := self._notice.news.get()) is not None:
            try:
                retry_call(lambda word=word: self._send(word), seconds=word.seconds)  # type: ignore[misc]
            except (ServiceUnavailable, Refused, LeaseLost) as error:
                log.warning("the job's log does not tell of the notice: %s", error)

    def _send(self, word: NoticeDetails) -> None:
        text = f"{word}: {_consequence(word)}"
        data = {"source": word.source, "cause": word.cause, "seconds": round(word.seconds, 1), "certain": word.certain}
        note = Note(fence=self._grant.fence, kind=KIND, message=fitting_text(text), data=fitting_data(data))
        self._client.note(self._grant.attempt_id, note)


def _consequence(word: NoticeDetails) -> str:
    if word.certain:
        return f"the machine goes away in {word.seconds:.0f} s, saving and handing over"
    return "the machine may go away, saving now and training on"
