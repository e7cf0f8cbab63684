"""Messages of the API about notification targets and test messages. They never contain a target's URL."""

from __future__ import annotations

from baton.domain.notifications import TargetName
from baton.domain.validation import Model
from baton.domain.wire import Message


class TargetView(Message):
    """A notification target. `default`: it also gets messages about jobs whose spec names no target."""

    name: str
    default: bool


class NotificationTest(Model):
    """Asks for a test message. `target`: the name of one target; all targets if not given."""

    target: TargetName | None = None


class NotificationTested(Message):
    """The result of a test message. `problem`: why it was not sent."""

    target: str
    sent: bool
    problem: str | None
