"""The augmenters that run on the device."""

from __future__ import annotations

from tests.unit.training.augmenters import FORMS, spec_of
from worker.training.augmentation.paper_policies import POLICIES

LEFT_OUT = {"multiply_brightness"}
ON_DEVICE = [form for form in FORMS if form["name"] not in LEFT_OUT]
IN_PAPERS = {augmenter.name for policy in POLICIES.values() for augmenter in policy.augmenters}
# All augmenters that no published policy uses, in one program.
OTHERS = {form["name"]: form for form in ON_DEVICE if form["name"] not in IN_PAPERS}
OTHER = spec_of(
    *OTHERS.values(), {"name": "affine", "rotate": [-45, 45], "order": 3}, order="random", some_of=[1, None]
)
