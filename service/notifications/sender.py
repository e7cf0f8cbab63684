"""Sends messages by Apprise: each in a thread that may hang, and without a word of any URL in a log."""

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
    """The way to the targets. Safe for several threads; one message at a time goes to each.

    With no target Apprise is not even imported: it costs 1 s and 50 MB.
    """

    def __init__(self, urls: Urls, seconds: float) -> None:
        """`seconds`: how long a sending may take. Raises SettingsError where Apprise does not know a URL."""
        self._seconds = seconds
        if urls:
            _hush()
        self._ways = {name: _way(name, url.get_secret_value()) for name, url in urls.items()}
        self._busy = {name: threading.Lock() for name in urls}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all targets."""
        return tuple(self._ways)

    def send(self, target: str, title: str, body: str, kind: str = "") -> str | None:
        """None if the target has accepted the message, else the reason, without secrets.

        `kind`: of baton.domain.notifications. An unknown kind, from another version, counts as information.

        A call that takes too long continues in the background. The same target is tried again only after it has ended.
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

        # A thread that keeps nobody from ending, unlike those of a pool.
        thread = threading.Thread(target=run, name=PREFIX + target, daemon=True)
        thread.start()
        thread.join(self._seconds)
        return answer[0] if answer else f"no answer within {self._seconds:g} s"


def _hush() -> None:
    """Apprise's log names hosts, and at its finer levels whole URLs; so does urllib3's. What is worth it we say."""
    apprise = logging.getLogger("apprise")
    apprise.propagate = False
    apprise.addFilter(_status_alone)
    logging.getLogger("urllib3.connectionpool").addFilter(_is_not_ours)


def _status_alone(record: logging.LogRecord) -> bool:
    """Leaves of a record an HTTP status, and nothing of one that has none: whoever else listens hears no more."""
    status = _REFUSED.search(record.getMessage())
    record.msg, record.args, record.exc_info = status[0] if status else "", (), None
    return status is not None


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(PREFIX)


def _way(name: str, url: str) -> Apprise:
    from apprise import Apprise, AppriseAsset

    # With a time limit of its own Apprise would send in a pool whose threads must end before the process can.
    asset = AppriseAsset(app_id="Baton", async_mode=False, service_timeout=0, storage_mode="memory")
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        raise SettingsError(
            f"BATON_NOTIFY_URLS or BATON_NOTIFY_FILE: the URL of target {name!r} is none that Apprise can use; "
            "`apprise --dry-run -vv URL` says more"
        )
    return Apprise(service, asset=asset)


def _deliver(way: Apprise, title: str, body: str, kind: str) -> str | None:
    from apprise import NotifyFormat, NotifyType

    try:
        mark = NotifyType(KINDS.get(kind, "info"))
        result = way.notify(body=body, title=title, notify_type=mark, body_format=NotifyFormat.TEXT)
    except Exception as error:  # of a plugin; what it says may hold the URL
        return f"Apprise failed with {type(error).__name__}"
    return None if result else _why(result)


def _why(result: Any) -> str:
    """Of all that Apprise says only the HTTP status, if there is one: the rest may hold what nobody may see."""
    said = [_REFUSED.search(entry.message) for one in result.results for try_ in one for entry in try_]
    status = next((match[1] for match in said if match), None)
    return f"the endpoint answered with HTTP status {status}" if status else "the endpoint could not be reached"
