"""The job spec, one module for each part."""

from baton.domain.spec.augmentation import Augmentation, AugmentationSpec
from baton.domain.spec.checkpoint_and_retry import CheckpointSpec, EverySeconds, EverySteps, RetrySpec
from baton.domain.spec.common import LABEL, CommonSpec, Label, in_reading_order
from baton.domain.spec.dataset import DatasetSpec, SplitFractions
from baton.domain.spec.job import JobSpec
from baton.domain.spec.limits import BudgetSpec, LimitsSpec
from baton.domain.spec.network import NetworkSpec, OptimizerSpec
from baton.domain.spec.notifications import NotifySpec
from baton.domain.spec.parsing import AnySpec, dump_spec, granted_spec, parse_classifier, parse_spec, spec_version
from baton.domain.spec.program import MonitorSpec, ProgramJobSpec, ProgramSpec
from baton.domain.spec.schedules import ConstantSchedule, CyclicSchedule, PlateauSchedule, Schedule
from baton.domain.spec.stage import Published, StageSpec

__all__ = (
    "LABEL", "AnySpec", "Augmentation", "AugmentationSpec", "BudgetSpec", "CheckpointSpec", "CommonSpec",
    "ConstantSchedule", "CyclicSchedule", "DatasetSpec", "EverySeconds", "EverySteps", "JobSpec", "Label", "LimitsSpec",
    "MonitorSpec", "NetworkSpec", "NotifySpec", "OptimizerSpec", "PlateauSchedule", "ProgramJobSpec", "ProgramSpec",
    "Published", "RetrySpec", "Schedule", "SplitFractions", "StageSpec", "dump_spec", "granted_spec",
    "in_reading_order", "parse_classifier", "parse_spec", "spec_version",
)  # fmt: skip
