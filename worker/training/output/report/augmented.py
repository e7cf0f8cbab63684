"""The augmentations that a spec uses, each applied to some images as training applies it."""

from __future__ import annotations

from collections.abc import Iterator

from baton.domain.spec import JobSpec
from worker.training.augmentation import augment
from worker.training.input.shuffle import batch_seed
from worker.training.output.report.inputs import Images

LONGEST = 40


def policy_title(policy: object) -> str:
    """A policy's name, or the start of a user's own policy as text."""
    text = str(policy)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def augmentations(spec: JobSpec, originals: Images) -> Iterator[tuple[str, Images]]:
    """Title and augmented images of each policy that is not none, with the seed of the first batch that uses it."""
    seen: list[object] = []
    for number, stage in enumerate(spec.stages):
        policy = stage.augmentation
        if policy != "none" and policy not in seen:
            seen.append(policy)
            yield policy_title(policy), augment(policy, originals, batch_seed(spec.seed, number, 0, 0))
