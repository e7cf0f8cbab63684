"""A new field of the spec affects only the jobs that use it: older workers can still read all other specs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION, known, reason_for
from baton.domain.reasons import Reason
from baton.domain.spec import dump_spec, granted_spec, parse_spec, spec_version
from baton.domain.spec.versions import ForService, Since, for_worker, needed_version, unused
from baton.domain.validation import Model
from baton.domain.wire import Phase
from service.usecases.plans import list_plans, plan_spec


class Limits(Model):
    stall: float = 900.0
    max_runtime: float | None = None


class Old(Model):
    kind: Literal["old"] = "old"


class New(Model):
    since: ClassVar[int] = 3
    kind: Literal["new"] = "new"


class Stage(Model):
    epochs: int
    mixup: Annotated[float, Field(ge=0), Since(2)] = 0.0
    schedule: Annotated[Old | New, Field(discriminator="kind")] = Old()


class Spec(Model):
    name: str
    optimizer: Annotated[Literal["adam", "sgd", "lion"], Since(2, "lion")] = "adam"
    checks: Annotated[tuple[str, ...], Since(4, "self")] = ()
    stages: tuple[Stage, ...]
    limits: Annotated[Limits, Since(2)] = Limits()
    notify: Annotated[dict[str, Any], ForService, Since(5)] = Field(default_factory=dict)


def made(stage: dict[str, Any] | None = None, **changes: Any) -> Spec:
    return Spec.model_validate({"name": "x", "stages": [{"epochs": 1}, {"epochs": 2, **(stage or {})}], **changes})


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        (made(), 1),
        (made(limits={"stall": 900.0}), 1),  # the default value, given explicitly
        (made(limits={"stall": 60.0}), 2),
        (made(optimizer="sgd"), 1),
        (made(optimizer="lion"), 2),
        (made(stage={"mixup": 0.2}), 2),
        (made(stage={"schedule": {"kind": "new"}}), 3),
        (made(checks=["other"]), 1),
        (made(checks=["other", "self"], stage={"mixup": 0.2}), 4),
        (made(notify={"when": "overdue"}), 1),  # no worker needs this field
    ],
)
def test_a_job_needs_the_version_of_what_it_uses(spec: Spec, version: int) -> None:
    assert needed_version(spec) == version
    written = spec.model_dump(mode="json", exclude=unused(spec))
    assert Spec.model_validate(written) == spec


def test_what_is_not_used_is_not_written() -> None:
    spec = made()
    old = {"kind": "old"}
    assert spec.model_dump(mode="json", exclude=unused(spec)) == {
        "name": "x",
        "optimizer": "adam",
        "checks": [],
        "stages": [{"epochs": 1, "schedule": old}, {"epochs": 2, "schedule": old}],
    }
    used = made(stage={"mixup": 0.5}, limits={"stall": 1.0})
    written = used.model_dump(mode="json", exclude=unused(used))
    assert [set(stage) for stage in written["stages"]] == [{"epochs", "schedule"}, {"epochs", "schedule", "mixup"}]
    assert written["limits"] == {"stall": 1.0, "max_runtime": None}


def test_a_worker_gets_only_what_it_needs() -> None:
    spec = made(notify={"when": "overdue"}).model_dump(mode="json")
    assert set(for_worker(Spec, {**spec, "unknown": 1})) == {*Spec.model_fields, "unknown"} - {"notify"}


@pytest.mark.parametrize("plan", [plan.name for plan in list_plans()])
def test_each_plan_is_one_for_the_oldest_worker(plan: str) -> None:
    found = plan_spec(plan)
    needs_path = found["dataset"]["name"] == "tiny-imagenet-200"
    spec = parse_spec({**found, "dataset": {**found["dataset"], "download": needs_path}})
    assert spec_version(spec) == 1 <= SPEC_VERSION
    granted = granted_spec(dump_spec(spec))
    assert not {"notify", "queue", "priority", "retry", "source"} & set(granted)
    again = parse_spec(granted)
    assert (again.stages, again.network, again.dataset) == (spec.stages, spec.network, spec.dataset)


def test_a_reason_that_an_older_service_does_not_know_becomes_the_nearest_one_it_knows() -> None:
    assert reason_for(1, Reason.WORKER_TOO_OLD) == Reason.PROCESS_DIED
    assert reason_for(PROTOCOL, Reason.WORKER_TOO_OLD) == Reason.WORKER_TOO_OLD
    assert reason_for(1, Reason.BAD_DATA) == Reason.BAD_DATA
    assert reason_for(1, None) is None


def test_a_name_that_this_version_does_not_know_becomes_none() -> None:
    assert known(Phase, "training") is Phase.TRAINING
    assert known(Phase, "dreaming") is None
    assert known(Phase, None) is None


@pytest.mark.parametrize(
    ("field", "value", "version"), [("on_change", "continue", 2), ("nested", True, 4), ("on_broken", "skip", 4)]
)
def test_a_job_that_uses_a_newer_field_of_the_data_needs_a_newer_worker_and_no_other_job_does(
    field: str, value: object, version: int
) -> None:
    rest = {"name": "x", "network": {"name": "network-2"}, "stages": [{"epochs": 1}]}
    folder = {"name": "image-folder", "path": "/data"}
    plain = parse_spec({**rest, "dataset": folder})
    assert spec_version(plain) == 1
    assert field not in dump_spec(plain)["dataset"]
    assert spec_version(parse_spec({**rest, "dataset": {**folder, field: value}})) == version


def test_a_job_on_pushed_data_needs_a_newer_worker_and_no_other_job_does() -> None:
    rest = {"name": "x", "network": {"name": "network-2"}, "stages": [{"epochs": 1, "image_size": 16}]}
    plain = parse_spec({**rest, "dataset": {"name": "image-folder", "path": "/data"}})
    assert spec_version(plain) == 1
    assert "data" not in dump_spec(plain)["dataset"]
    assert spec_version(parse_spec({**rest, "dataset": {"name": "image-folder", "data": "photos"}})) == 4


def test_a_job_with_a_budget_needs_a_newer_worker_and_no_other_limit_does() -> None:
    rest = {"name": "x", "network": {"name": "network-2"}, "dataset": {"name": "digits"}, "stages": [{"epochs": 1}]}
    used = [{"max_runtime": "1h"}, {"budget": {"gpu_hours": 2}}, {"budget": {"money": 2.5}}]
    assert [spec_version(parse_spec({**rest, "limits": limits})) for limits in used] == [3, 6, 6]
    assert "budget" not in dump_spec(parse_spec({**rest, "limits": used[0]}))["limits"]
