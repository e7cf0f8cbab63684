"""The key of autotuning results: results with equal keys fit the same specs on the same kind of machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from baton.domain.spec import JobSpec

# Fields of a spec that do not change what is compiled. All other fields do.
IRRELEVANT = {"name", "seed", "checkpoint", "retry", "queue", "priority", "source", "published", "labels"}
IRRELEVANT_IN_STAGES = {"name", "epochs", "steps_per_epoch", "schedule", "start_from", "published"}
IRRELEVANT_IN_DATASET = {"data", "nested", "on_broken"}
SPEC, ABSENT = "spec", "none"


@dataclass(frozen=True)
class AutotuningKey:
    """`parts`: what the choice of kernels depends on, in readable words."""

    parts: Mapping[str, str]

    @classmethod
    def of(cls, spec: JobSpec, machine: Mapping[str, str]) -> AutotuningKey:
        """The key of a job on this machine. `machine`: what the choice depends on in addition to the spec."""
        parts: dict[str, Any] = {"stages": {"__all__": IRRELEVANT_IN_STAGES}, "dataset": IRRELEVANT_IN_DATASET}
        data = spec.model_dump(mode="json", exclude={**dict.fromkeys(IRRELEVANT, True), **parts})
        return cls({**machine, SPEC: _digest(data)})

    @cached_property
    def text(self) -> str:
        """Part of names in the store and on disk: GPU, TensorFlow, and a digest of all parts."""
        device = self.parts.get("GPU", "gpu")
        readable = re.sub(r"[^a-z0-9.]+", "-", f"{device} tf{self.parts.get('TensorFlow', '')}".lower()).strip("-.")
        return f"{readable[:80]}-{_digest(dict(self.parts))}"

    def differences(self, before: Mapping[str, str]) -> str:
        """The differences of `before` from this key, as text."""
        names = [name for name in {**before, **self.parts} if before.get(name) != self.parts.get(name)]
        # The spec is only a digest here.
        return "; ".join(
            name if name == SPEC else f"{name}: {before.get(name, ABSENT)}, here {self.parts.get(name, ABSENT)}"
            for name in names
        )


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
