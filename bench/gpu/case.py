"""The measured cases: the published training of each network, or a small version of it without a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One network's published training. `batch`: images per step. `size`: pixels per side. `width`: of every layer."""

    network: str
    policy: str
    size: int
    batch: int
    width: float = 1.0
    precision: str = "bfloat16"
    classes: int = 200

    @property
    def name(self) -> str:
        """The printed name."""
        return f"{self.network}, {self.size} px, batch {self.batch}, {self.precision}"

    def spec(self, *, augmented: bool, **changes: Any) -> dict[str, Any]:
        """A job of this case whose steps select and augment their images on the device."""
        stage = {
            "image_size": self.size,
            "batch_size": self.batch,
            "epochs": 1,
            "augmentation": self.policy if augmented else "none",
        }
        return {
            "name": f"bench-{self.network}",
            "network": {"name": self.network, "width": self.width, "classes": self.classes},
            "dataset": {"name": "digits"},
            "precision": self.precision,
            "augmentation_engine": "device",
            "optimizer": {"name": "adam", "learning_rate": 1e-4},
            "stages": [stage],
            **changes,
        }


FULL = (
    Case("network-1", "paper-1", 64, 64),
    Case("network-2", "paper-2", 64, 128),
)
# Cases for two CPU cores, which test the benchmark itself. Their numbers do not apply to GPUs.
SMALL = (
    Case("network-1", "paper-1", 16, 8, 0.05, "float32", 10),
    Case("network-2", "paper-2", 16, 8, 0.05, "float32", 10),
)


def chosen(name: str, *, small: bool) -> Case:
    """The case of that network."""
    return next(case for case in (SMALL if small else FULL) if case.network == name)
