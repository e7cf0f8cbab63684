"""Azure: scheduled events of this virtual machine.

- https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events: NotBefore is at least 30 s ahead for
  Preempt, 10 min for Redeploy, 15 min for Reboot, 5 to 15 min (configurable) for Terminate, and empty once the event
  has begun. Poll once a second. The first call enables the feature and may take up to two minutes. Events of other
  machines in the same set are listed too; each event names its machines. A Freeze only pauses the machine for some
  seconds and loses nothing, so it is ignored.
- https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service (compute/name; no proxies)
"""

from __future__ import annotations

import os
from email.utils import parsedate_to_datetime
from typing import Any

from worker.preemption.notice import NoticeDetails
from worker.preemption.port import metadata_client, seconds_until

ENDPOINT = "http://169.254.169.254"
ENDS = frozenset({"Preempt", "Terminate", "Reboot", "Redeploy"})
FIRST_CALL_SECONDS = 130.0


class AzureSource:
    """The instance metadata service. BATON_AZURE_METADATA names another server, for tests."""

    name = "azure"
    pause = 1.0

    def __init__(self) -> None:
        url = os.environ.get("BATON_AZURE_METADATA") or ENDPOINT
        self._http = metadata_client(url, headers={"Metadata": "true"})
        self._machine = ""

    def probe(self) -> None:
        """Reads the name of this machine, by which events identify it."""
        parameters = {"api-version": "2021-02-01", "format": "text"}
        answer = self._http.get("/metadata/instance/compute/name", params=parameters).raise_for_status()
        self._machine = answer.text.strip()

    def look(self) -> NoticeDetails | None:
        """The earliest event that ends this machine."""
        if not self._machine:
            self.probe()
        parameters = {"api-version": "2020-07-01"}
        answer = self._http.get("/metadata/scheduledevents", params=parameters, timeout=FIRST_CALL_SECONDS)
        events = answer.raise_for_status().json().get("Events", [])
        notices = [
            NoticeDetails(
                self.name, str(event["EventType"]), seconds_until(event.get("NotBefore"), parsedate_to_datetime)
            )
            for event in events
            if self._ends_this_machine(event)
        ]
        return min(notices, key=lambda notice: notice.seconds, default=None)

    def _ends_this_machine(self, event: dict[str, Any]) -> bool:
        names = {str(name).lower() for name in event.get("Resources", [])}
        return event.get("EventType") in ENDS and self._machine.lower() in names
