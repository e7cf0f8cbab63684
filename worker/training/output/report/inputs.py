"""The inputs of a report. They pass from the training process to the report process as a JSON and an npz file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from baton.domain.evaluation import EvaluatedModel
from baton.domain.views import AttemptView, JobView
from baton.domain.wire import ClassifierRow
from worker.training.evaluation import Answers

Images = NDArray[np.uint8]
FACTS, ARRAYS = "facts.json", "arrays.npz"
_ANSWERS = ("labels", "classes", "probabilities")


class Facts(BaseModel):
    """All inputs except arrays.

    `steps`: steps per epoch of each stage; `splits`: images of each class by split; `losses`: by set; `job`,
    `attempts`: from the service, None and empty if it did not answer; `finished`: whether the model is the best one,
    evaluated on all sets; `left_out`: files of the data set that are not used, a line for each cause.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    spec: dict[str, Any]
    steps: tuple[int, ...]
    history: tuple[ClassifierRow, ...]
    environment: dict[str, str]
    class_names: tuple[str, ...]
    splits: dict[str, tuple[int, ...]]
    model: EvaluatedModel
    losses: dict[str, float]
    finished: bool
    made_at: datetime
    job: JobView | None = None
    attempts: tuple[AttemptView, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Shown:
    """Images for the gallery, uint8 [n, size, size, 3], and their indices in the set's answers, int64 [n]."""

    images: Images
    places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """`answers` and `shown` by set; `originals`: training images to be augmented, uint8 [n, size, size, 3]."""

    facts: Facts
    answers: Mapping[str, Answers]
    shown: Mapping[str, Shown]
    originals: Images = field(default_factory=lambda: np.zeros((0, 8, 8, 3), np.uint8))

    def with_service_data(self, job: JobView | None, attempts: tuple[AttemptView, ...]) -> ReportInputs:
        """A copy with the service's views of job and attempts."""
        return replace(self, facts=self.facts.model_copy(update={"job": job, "attempts": attempts}))

    def write(self, folder: Path) -> None:
        """Writes both files to a folder."""
        arrays: dict[str, NDArray[Any]] = {"originals": self.originals}
        for name, answers in self.answers.items():
            arrays |= {f"answers/{name}/{key}": getattr(answers, key) for key in _ANSWERS}
        for name, shown in self.shown.items():
            arrays |= {f"shown/{name}/images": shown.images, f"shown/{name}/places": shown.places}
        np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type]  # numpy takes the names for its own options
        (folder / FACTS).write_text(self.facts.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ReportInputs:
        """Reads what `write` wrote."""
        facts = Facts.model_validate_json((folder / FACTS).read_bytes())
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            answers = {name: Answers(*(arrays[f"answers/{name}/{key}"] for key in _ANSWERS)) for name in facts.losses}
            shown = {name: Shown(arrays[f"shown/{name}/images"], arrays[f"shown/{name}/places"]) for name in answers}
            return cls(facts, answers, shown, arrays["originals"])
