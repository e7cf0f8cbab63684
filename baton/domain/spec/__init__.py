"""The job spec, one module for each part."""

from baton.domain.spec.augmentation import Augmentation, AugmentationSpec
from baton.domain.spec.dataset import DatasetSpec, SplitFractions
from baton.domain.spec.job import LABEL, JobSpec, dump_spec, granted_spec, parse_spec, spec_version
from baton.domain.spec.limits import LimitsSpec
from baton.domain.spec.network import NetworkSpec, OptimizerSpec
from baton.domain.spec.notifications import NotifySpec
from baton.domain.spec.policies import CheckpointSpec, EverySeconds, EverySteps, RetrySpec
from baton.domain.spec.schedules import ConstantSchedule, CyclicSchedule, PlateauSchedule, Schedule
from baton.domain.spec.stage import Published, StageSpec

__all__ = (
    "LABEL", "Augmentation", "AugmentationSpec", "CheckpointSpec", "ConstantSchedule", "CyclicSchedule", "DatasetSpec",
    "EverySeconds", "EverySteps", "JobSpec", "LimitsSpec", "NetworkSpec", "NotifySpec", "OptimizerSpec",
    "PlateauSchedule", "Published", "RetrySpec", "Schedule", "SplitFractions", "StageSpec", "dump_spec",
    "granted_spec", "parse_spec", "spec_version",
)  # fmt: skip
