"""Calls of the Python SDK about notifications. Asynchronous.

Generated from baton/client/notifications.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from baton.client.aio.transport import Transport
from baton.domain.notification_targets import NotificationTested, TargetView
from baton.domain.views import Listing


class NotificationCalls:
    """The calls about notifications. All raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def targets(self) -> list[TargetView]:
        """The targets that a spec may name under `notify.targets`."""
        answer = await self._transport.request("GET", "/v1/notifications/targets")
        return Listing[TargetView].model_validate_json(answer.content).items

    async def test_notifications(self, target: str | None = None) -> list[NotificationTested]:
        """Sends a test message to one target, or to all, and returns the results. Needs the scope admin."""
        answer = await self._transport.request("POST", "/v1/notifications:test", json={"target": target})
        return Listing[NotificationTested].model_validate_json(answer.content).items
