"""Whom the service can tell, and test messages: what it answers about them. No URL is ever in it."""

from __future__ import annotations

from baton.domain.notifications import TargetName
from baton.domain.validation import Model
from baton.domain.wire import Message


class TargetView(Message):
    """Somebody who can be told. `default`: of jobs whose spec names nobody too."""

    name: str
    default: bool


class NotificationTest(Model):
    """Asks for a test message. `target`: one by name; all, if not given."""

    target: TargetName | None = None


class NotificationTested(Message):
    """What became of a test message. `problem`: why it was not sent, in words."""

    target: str
    sent: bool
    problem: str | None
