"""The reference page documents every augmenter with every key."""

import re
from pathlib import Path

from baton.domain.spec.augmenters import AUGMENTERS

TEXT = (Path(__file__).parents[3] / "docs/reference/augmentation.md").read_text()


def test_the_table_holds_every_augmenter_with_its_keys_and_whether_they_are_required() -> None:
    found: dict[str, dict[str, bool]] = {}
    name = ""
    for row in re.findall(r"^\| (`\w+`)? ?\| (\**)`(\w+)`", TEXT.split("## Augmenters")[1], re.MULTILINE):
        name = row[0].strip("`") or name
        found.setdefault(name, {})[row[2]] = bool(row[1])
    assert found == {
        name: {
            key: field.is_required() for key, field in model.model_fields.items() if key not in {"name", "sometimes"}
        }
        for name, model in AUGMENTERS.items()
    }
