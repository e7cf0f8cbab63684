"""The clouds whose preemption notices a worker can read. A new cloud needs a `port.Source` and a line here."""

from __future__ import annotations

from typing import Literal

from worker.preemption import gce
from worker.preemption.aws import AwsSource
from worker.preemption.azure import AzureSource
from worker.preemption.port import Source

Choice = Literal["auto", "gce", "aws", "azure", "none"]
"""Values of BATON_NOTICES."""


def sources() -> dict[str, list[Source]]:
    """All sources, by cloud."""
    return {"gce": [gce.preemption(), gce.maintenance()], "aws": [AwsSource()], "azure": [AzureSource()]}
