"""Baton's pipeline has the statistics of imgaug called as in the notebooks, and a small difference is found."""

from typing import Any

import pytest

from baton.domain.spec import AugmentationSpec
from tests.unit.training.augmentation_statistics import FIRST, baton, imgaug, notebook, report, z_scores
from worker.training.augmentation.paper_policies import POLICIES

Z_LIMIT = 4.0
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Function .ContrastNormalization")]


@pytest.mark.parametrize("policy", POLICIES)
def test_ten_thousand_images_have_the_statistics_of_imgaug_itself(policy: str) -> None:
    ours, theirs = baton(policy), imgaug(policy)
    print(f"\n{policy}\n{report(ours, theirs)}")
    assert max(map(abs, z_scores(ours, theirs).values())) < Z_LIMIT, report(ours, theirs)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_file_has_the_statistics_of_the_imgaug_that_is_installed(policy: str) -> None:
    for name, installed in notebook(policy, FIRST).items():
        kept = imgaug(policy, FIRST)[name]
        assert kept.mean == pytest.approx(installed.mean, rel=1e-3), name
        assert kept.error == pytest.approx(installed.error, rel=1e-2), name


@pytest.mark.parametrize(
    ("policy", "augmenter", "change", "seen_in"),
    [
        ("paper-1", 3, {"scale": 15}, "roughness"),
        ("paper-2", 1, {"p": 0.25}, "flipped upside down"),
        ("paper-2", 6, {"mul": [0.85, 1.25]}, "mean"),
    ],
)
def test_a_policy_that_is_a_little_off_is_found_out(
    policy: str, augmenter: int, change: dict[str, Any], seen_in: str
) -> None:
    """Shows how sensitive the comparison is: it detects these small differences."""
    off = POLICIES[policy].model_dump(mode="json")
    off["augmenters"][augmenter].update(change)
    z = z_scores(baton(AugmentationSpec.model_validate(off)), imgaug(policy))
    assert abs(z[seen_in]) > Z_LIMIT, z
