"""Sends messages with Apprise, each in a separate thread that may hang. No URL of a target appears in a log."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Any

from baton.domain.notifications import NotificationKind
from service.notifications.targets import Urls
from service.settings import SettingsError

if TYPE_CHECKING:
    from apprise import Apprise

PREFIX = "notification "
KINDS = {
    NotificationKind.SUCCEEDED.value: "success",
    NotificationKind.FAILED.value: "failure",
    **dict.fromkeys(
        (NotificationKind.RECOVERING.value, NotificationKind.OVERDUE.value, NotificationKind.SILENT.value), "warning"
    ),
}
_REFUSED = re.compile(r"error=([1-5][0-9]{2})\b")


class Sender:
    """Sends to the targets, one message at a time to each. Thread-safe.

    Apprise is imported only if there are targets: the import costs 1 s and 50 MB.
    """

    def __init__(self, urls: Urls, seconds: float) -> None:
        """`seconds`: timeout of one message. Raises SettingsError if Apprise does not support a URL."""
        self._seconds = seconds
        if urls:
            _hush()
        self._ways = {name: _way(name, url.get_secret_value()) for name, url in urls.items()}
        self._busy = {name: threading.Lock() for name in urls}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all targets."""
        return tuple(self._ways)

    def send(self, target: str, title: str, body: str, kind: str = "") -> str | None:
        """None if the target has accepted the message, else the reason, without secrets.

        `kind`: of baton.domain.notifications. An unknown kind, from another version, counts as information.

        A call that takes too long continues in the background. The target gets the next message only after its end.
        """
        busy = self._busy[target]
        if not busy.acquire(timeout=self._seconds):
            return "the message before this one still waits for an answer"
        answer: list[str | None] = []

        def run() -> None:
            try:
                answer.append(_deliver(self._ways[target], title, body, kind))
            finally:
                busy.release()

        # A daemon thread does not delay the end of the process, unlike the threads of a pool.
        thread = threading.Thread(target=run, name=PREFIX + target, daemon=True)
        thread.start()
        thread.join(self._seconds)
        return answer[0] if answer else f"no answer within {self._seconds:g} s"


def _hush() -> None:
    """Filter the logs of Apprise and urllib3, because they contain host names and, at level DEBUG, whole URLs."""
    apprise = logging.getLogger("apprise")
    apprise.propagate = False
    apprise.addFilter(_status_alone)
    logging.getLogger("urllib3.connectionpool").addFilter(_is_not_ours)


def _status_alone(record: logging.LogRecord) -> bool:
    """Reduce a log record to its HTTP status. Drop a record without one. All handlers get only the reduced record."""
    status = _REFUSED.search(record.getMessage())
    record.msg, record.args, record.exc_info = status[0] if status else "", (), None
    return status is not None


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(PREFIX)


def _way(name: str, url: str) -> Apprise:
    from apprise import Apprise, AppriseAsset

    # With a service_timeout, Apprise would send in a thread pool, and the process could not end before its threads.
    asset = AppriseAsset(app_id="Baton", async_mode=False, service_timeout=0, storage_mode="memory")
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        raise SettingsError(
            f"BATON_NOTIFY_URLS or BATON_NOTIFY_FILE: Apprise cannot use the URL of target {name!r}; "
            "`apprise --dry-run -vv URL` shows why"
        )
    return Apprise(service, asset=asset)


def _deliver(way: Apprise, title: str, body: str, kind: str) -> str | None:
    from apprise import NotifyFormat, NotifyType

    try:
        mark = NotifyType(KINDS.get(kind, "info"))
        result = way.notify(body=body, title=title, notify_type=mark, body_format=NotifyFormat.TEXT)
    except Exception as error:  # from a plugin; its message may contain the URL
        return f"Apprise failed with {type(error).__name__}"
    return None if result else _why(result)


def _why(result: Any) -> str:
    """The reason, with only the HTTP status from Apprise's log, if there is one. The rest may contain secrets."""
    said = [_REFUSED.search(entry.message) for one in result.results for try_ in one for entry in try_]
    status = next((match[1] for match in said if match), None)
    return f"the endpoint answered with HTTP status {status}" if status else "the endpoint could not be reached"
