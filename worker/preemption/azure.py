"""Azure: scheduled events of this virtual machine.

- https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events: NotBefore is at least 30 s away for
  Preempt, 10 min for Redeploy, 15 min for Reboot, as configured (5 to 15 min) for Terminate, and empty once the event
  has begun; ask once a second; the first call ever switches the service on and may take up to two minutes. Events name
  the machines that they concern: those of others in the same set are listed too. A Freeze pauses the machine for
  seconds and loses nothing: that is no end.
- https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service (compute/name; no proxies)
"""

from __future__ import annotations

import os
from email.utils import parsedate_to_datetime
from typing import Any

from worker.preemption.notice import NoticeDetails
from worker.preemption.source import metadata_client, seconds_until

ENDPOINT = "http://169.254.169.254"
ENDS = frozenset({"Preempt", "Terminate", "Reboot", "Redeploy"})
FIRST_CALL_SECONDS = 130.0


class AzureSource:
    """The instance metadata service. BATON_AZURE_METADATA names another one, for tests."""

    name = "azure"
    pause = 1.0

    def __init__(self) -> None:
        url = os.environ.get("BATON_AZURE_METADATA") or ENDPOINT
        self._http = metadata_client(url, headers={"Metadata": "true"})
        self._machine = ""

    def probe(self) -> None:
        """Learns this machine's name: events are told by it."""
        parameters = {"api-version": "2021-02-01", "format": "text"}
        answer = self._http.get("/metadata/instance/compute/name", params=parameters).raise_for_status()
        self._machine = answer.text.strip()

    def look(self) -> NoticeDetails | None:
        """The first event that ends this machine."""
        if not self._machine:
            self.probe()
        parameters = {"api-version": "2020-07-01"}
        answer = self._http.get("/metadata/scheduledevents", params=parameters, timeout=FIRST_CALL_SECONDS)
        events = answer.raise_for_status().json().get("Events", [])
        ends = [self._departure(event) for event in events if self._ends_here(event)]
        return min(ends, key=lambda departure: departure.seconds, default=None)

    def _ends_here(self, event: dict[str, Any]) -> bool:
        names = {str(name).lower() for name in event.get("Resources", [])}
        return event.get("EventType") in ENDS and self._machine.lower() in names

    def _departure(self, event: dict[str, Any]) -> NoticeDetails:
        seconds = seconds_until(event.get("NotBefore"), parsedate_to_datetime)
        return NoticeDetails(self.name, str(event["EventType"]), seconds)
