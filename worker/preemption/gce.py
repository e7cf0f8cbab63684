"""Google Compute Engine: a Spot VM is preempted, or its host goes into maintenance and the VM cannot be migrated.

- Preemption: https://cloud.google.com/compute/docs/instances/create-use-spot and
  https://cloud.google.com/compute/docs/instances/preemptible (`instance/preempted` becomes TRUE; about 30 s are left).
- Maintenance: https://cloud.google.com/compute/docs/metadata/getting-live-migration-notice and
  https://cloud.google.com/compute/docs/gpus/gpu-host-maintenance (60 s are left, an hour on a VM with a GPU).
  MIGRATE_ON_HOST_MAINTENANCE moves the running VM, so it is ignored.
- Long poll: https://cloud.google.com/compute/docs/metadata/querying-metadata (wait_for_change, last_etag, timeout_sec).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from worker.preemption.notice import NoticeDetails
from worker.preemption.port import metadata_client

POLL_SECONDS = 60
FLAVOR = {"Metadata-Flavor": "Google"}


@dataclass
class GceSource:
    """One key of the metadata. `ends`: for each value that ends the VM, the cause and the minimum seconds left."""

    key: str
    ends: Mapping[str, tuple[str, float]]
    host: str = field(default_factory=lambda: os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal")
    name: str = "gce"
    pause: float = 0.5  # for a server that does not hold requests open; a change during the pause is returned at once
    poll_seconds: int = POLL_SECONDS

    def __post_init__(self) -> None:
        self._http = metadata_client(f"http://{self.host}/computeMetadata/v1/instance/", headers=FLAVOR)
        self._etag = ""

    def probe(self) -> None:
        """Checks that a metadata server of Google answers."""
        self._ask({})

    def look(self) -> NoticeDetails | None:
        """The first call returns the current value, later calls wait for a change."""
        known = {"wait_for_change": "true", "timeout_sec": str(self.poll_seconds), "last_etag": self._etag}
        answer = self._ask(known if self._etag else {})
        self._etag = answer.headers.get("ETag", "")
        found = self.ends.get(answer.text.strip())
        return None if found is None else NoticeDetails(self.name, *found)

    def _ask(self, parameters: dict[str, str]) -> httpx.Response:
        timeout = httpx.Timeout(self.poll_seconds + 10.0 if parameters else 2.0, connect=1.0)
        answer = self._http.get(self.key, params=parameters, timeout=timeout).raise_for_status()
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise ValueError(f"{answer.url} is not a metadata server of Google")
        return answer


def preemption() -> GceSource:
    """Watches for the preemption of a Spot or preemptible VM."""
    return GceSource("preempted", {"TRUE": ("preempted", 30.0)})


def maintenance() -> GceSource:
    """Watches for maintenance of the host from which the VM cannot be migrated, because it has a GPU."""
    return GceSource("maintenance-event", {"TERMINATE_ON_HOST_MAINTENANCE": ("TERMINATE_ON_HOST_MAINTENANCE", 60.0)})
