"""The service with plans that take seconds. Only the folder of plans differs from the real service."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import yaml

from service.__main__ import main
from service.usecases import plans

STAGE = {"image_size": 8, "batch_size": 16, "epochs": 1, "steps_per_epoch": 3}


def small_plans(folder: Path) -> Path:
    """A copy of the plans, in which the plan that the pages submit trains twelve steps on a few images."""
    shutil.copytree(plans.plans_folder(), folder, dirs_exist_ok=True)
    path = folder / "digits-demo.yaml"
    plan = yaml.safe_load(path.read_text())
    plan["network"] = {"name": "tiny-cnn", "width": 0.2}
    plan["dataset"]["per_class"] = 20
    for stage in plan["stages"]:
        stage.update(STAGE)
    path.write_text(yaml.safe_dump(plan))
    return folder


if __name__ == "__main__":
    found = small_plans(Path(os.environ["BATON_STORE"].removeprefix("file://")).parent / "plans")
    plans.plans_folder = lambda: found
    sys.exit(main())
