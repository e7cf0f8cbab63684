"""Which autotuning results fit which spec on which machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from baton.domain.spec import JobSpec

# Fields of a spec that do not change what is compiled. All others do.
IDLE = {"name", "seed", "checkpoint", "retry", "queue", "priority", "source", "published", "labels"}
IDLE_OF_STAGES = {"name", "epochs", "steps_per_epoch", "schedule", "start_from", "published"}
SPEC, ABSENT = "spec", "none"


@dataclass(frozen=True)
class AutotuningKey:
    """`parts`: what the choice of kernels depends on, in words for people."""

    parts: Mapping[str, str]

    @classmethod
    def of(cls, spec: JobSpec, machine: Mapping[str, str]) -> AutotuningKey:
        """The key of a job on this machine. `machine`: what the choice depends on beside the spec."""
        data = spec.model_dump(
            mode="json", exclude={**dict.fromkeys(IDLE, True), "stages": {"__all__": IDLE_OF_STAGES}}
        )
        return cls({**machine, SPEC: _digest(data)})

    @cached_property
    def text(self) -> str:
        """Part of names in the store and on disk: GPU, TensorFlow, and a digest of all parts."""
        device = self.parts.get("GPU", "gpu")
        readable = re.sub(r"[^a-z0-9.]+", "-", f"{device} tf{self.parts.get('TensorFlow', '')}".lower()).strip("-.")
        return f"{readable[:80]}-{_digest(dict(self.parts))}"

    def differences(self, before: Mapping[str, str]) -> str:
        """How `before` differs from this key, in words."""
        names = [name for name in {**before, **self.parts} if before.get(name) != self.parts.get(name)]
        return "; ".join(_difference(name, before.get(name, ABSENT), self.parts.get(name, ABSENT)) for name in names)


def _difference(name: str, before: str, here: str) -> str:
    return name if name == SPEC else f"{name}: {before}, here {here}"


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
