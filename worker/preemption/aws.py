"""Amazon EC2: a Spot Instance is interrupted (certain, two minutes before) or may soon be (rebalance recommendation).

- https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html (spot/instance-action is
  404 until there is a notice; poll every 5 s; hibernation begins at once)
- https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
- https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html (IMDSv2: each call
  needs a token from a PUT request; in a container the instance's hop limit must be 2 or more)
- https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html (AWS_EC2_METADATA_SERVICE_ENDPOINT)
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import httpx

from worker.preemption.notice import NoticeDetails
from worker.preemption.port import LEAST_SECONDS, metadata_client, seconds_until

ENDPOINT = "http://169.254.169.254"
TOKEN_SECONDS = 21_600
ACTION, REBALANCE = "/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance"


class AwsSource:
    """The instance metadata service, version 2."""

    name = "aws"
    pause = 5.0

    def __init__(self) -> None:
        self._http = metadata_client(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT)
        self._token = ""

    def probe(self) -> None:
        """Requests a token. Only the metadata server of this cloud gives one, so a token identifies the cloud."""
        self._renew()

    def look(self) -> NoticeDetails | None:
        """The interruption notice; without one, the recommendation."""
        action = self._get(ACTION)
        if action is not None:
            kind = action.get("action", "")
            seconds = seconds_until(action.get("time"), datetime.fromisoformat)
            if kind == "hibernate":
                seconds = LEAST_SECONDS  # hibernation begins at once
            return NoticeDetails(self.name, f"spot instance-action {kind}", seconds)
        if self._get(REBALANCE) is not None:
            return NoticeDetails(self.name, "rebalance recommendation", certain=False)
        return None

    def _get(self, path: str) -> dict[str, Any] | None:
        answer = self._ask(path)
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # the token has expired
            self._renew()
            answer = self._ask(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found = answer.raise_for_status().json()
        if not isinstance(found, dict):
            raise ValueError(f"{path} is not a JSON object: {answer.text[:100]}")
        return found

    def _ask(self, path: str) -> httpx.Response:
        if not self._token:
            self._renew()
        return self._http.get(path, headers={"X-aws-ec2-metadata-token": self._token})

    def _renew(self) -> None:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        self._token = self._http.put("/latest/api/token", headers=headers).raise_for_status().text.strip()
