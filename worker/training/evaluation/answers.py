"""The answers (predictions) of a network: only the most probable classes of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOP = 5


@dataclass(frozen=True, eq=False)
class Answers:
    """For n images in order, the k most probable classes, most probable first. k is TOP, or fewer if there are fewer.

    `labels`: int32 [n]; `classes`: int32 [n, k]; `probabilities`: float32 [n, k].
    """

    labels: NDArray[np.int32]
    classes: NDArray[np.int32]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        """How many images."""
        return len(self.labels)

    @property
    def predicted(self) -> NDArray[np.int32]:
        """The most probable class of each image, int32 [n]."""
        return self.classes[:, 0]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one, bool [n]."""
        return np.asarray(self.predicted == self.labels)

    @property
    def among_top(self) -> NDArray[np.bool_]:
        """Whether the true class is among the k most probable classes, bool [n]."""
        return np.asarray((self.classes == self.labels[:, None]).any(axis=1))


def joined(parts: Sequence[Answers]) -> Answers:
    """Joins the answers of all parts in order. There must be at least one part."""
    return Answers(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )
