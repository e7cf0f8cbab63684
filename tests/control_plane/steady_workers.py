"""Workers without faults.

They send heartbeats all the time, and an outage of the service must not cost them their leases.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx

from tests.control_plane.backlog import OWN_PREFIX
from tests.service.helpers import worker_info
from tests.support.fast_jobs import fast
from tests.support.service import TOKEN

QUEUE = "steady"
# One replica may be frozen and the other slow in one response: the third try still comes within the lease of 3 s.
BEAT_SECONDS, ANSWER_SECONDS, RETRY_SECONDS = 0.4, 0.7, 0.1
PATIENCE_SECONDS = 120.0


@dataclass
class SteadyWorkers:
    """Holds `number` attempts. For each attempt a thread sends heartbeats to the replicas' own ports.

    `wrong`: errors of the service, such as a refused heartbeat, because these workers never stop.
    """

    urls: Sequence[str]
    number: int = 4
    wrong: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    beats: int = 0
    _enough: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Submit and claim a job for each worker, and send heartbeats from now on."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=self.urls[0], headers=headers, timeout=30.0) as http:
            for number in range(self.number):
                spec = fast(f"{OWN_PREFIX}steady-{number}", epochs=500, steps=100, queue=QUEUE)
                job = http.post("/v1/jobs", json=spec).raise_for_status().json()["id"]
                attempt = http.get(f"/v1/jobs/{job}/attempts").raise_for_status().json()["items"][-1]["id"]
                claim = {"claim_id": uuid.uuid4().hex, "worker": worker_info(f"steady-{number}")}
                grant = http.post(f"/v1/attempts/{attempt}/claim", json=claim).raise_for_status().json()
                self.jobs.append(job)
                thread = threading.Thread(target=self._hold, args=(grant,), name=f"steady-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def end(self) -> None:
        """Cancel the jobs. Each worker must obey."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=self.urls[0], headers=headers, timeout=30.0) as http:
            for job in self.jobs:
                http.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            if thread.is_alive():
                self.wrong.append(f"{thread.name} did not come to its end")

    def _hold(self, grant: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {grant['token']}"}
        with httpx.Client(headers=headers, timeout=ANSWER_SECONDS) as http:
            while self._beat(http, grant) == "continue":
                self.beats += 1
                time.sleep(BEAT_SECONDS)

    def _beat(self, http: httpx.Client, grant: dict[str, Any]) -> str:
        """Send a heartbeat, and return the directive of the response, or "" when the attempt is over."""
        answer = self._ask(http, grant, "heartbeat", {"phase": "training"})
        if answer is None:
            return ""
        directive = str(answer.json()["directive"])
        if directive == "cancel":
            self._ask(http, grant, "finish", {"outcome": "cancelled"})
        return directive

    def _ask(
        self, http: httpx.Client, grant: dict[str, Any], verb: str, message: dict[str, Any]
    ) -> httpx.Response | None:
        begun, name = time.monotonic(), threading.current_thread().name
        for tries, url in enumerate(cycle(self.urls), start=1):
            try:
                answer = http.post(
                    f"{url}/v1/attempts/{grant['attempt_id']}/{verb}", json={"fence": grant["fence"], **message}
                )
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code < 500:
                if answer.is_success:
                    return answer
                self.wrong.append(
                    f"{name} never stopped beating, and its {verb} was answered {answer.status_code} "
                    f"(try {tries}, {time.monotonic() - begun:.1f} s after the first): {answer.text}"
                )
                return None
            if time.monotonic() - begun > PATIENCE_SECONDS:
                self.wrong.append(f"{name}: no answer to {verb} for {PATIENCE_SECONDS:.0f} s")
                return None
            time.sleep(RETRY_SECONDS)
        return None
