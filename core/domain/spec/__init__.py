"""What a user asks for: the job spec, part by part."""

from core.domain.spec.augmentation import Augmentation, AugmentationSpec
from core.domain.spec.dataset import DatasetSpec, SplitFractions
from core.domain.spec.job import LABEL, JobSpec, dump_spec, granted_spec, parse_spec, spec_version
from core.domain.spec.limits import LimitsSpec
from core.domain.spec.network import NetworkSpec, OptimizerSpec
from core.domain.spec.notify import NotifySpec
from core.domain.spec.policies import CheckpointSpec, EverySeconds, EverySteps, RetrySpec
from core.domain.spec.schedules import ConstantSchedule, CyclicSchedule, PlateauSchedule, Schedule
from core.domain.spec.stage import Published, StageSpec

__all__ = (
    "LABEL", "Augmentation", "AugmentationSpec", "CheckpointSpec", "ConstantSchedule", "CyclicSchedule", "DatasetSpec",
    "EverySeconds", "EverySteps", "JobSpec", "LimitsSpec", "NetworkSpec", "NotifySpec", "OptimizerSpec",
    "PlateauSchedule", "Published", "RetrySpec", "Schedule", "SplitFractions", "StageSpec", "dump_spec",
    "granted_spec", "parse_spec", "spec_version",
)  # fmt: skip
