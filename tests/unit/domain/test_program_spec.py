"""The spec of a job that runs a training program of the user's own."""

from __future__ import annotations

from typing import Any

import pytest

from baton.domain.errors import SpecError
from baton.domain.extensions import PROGRAMS, missing
from baton.domain.protocol_versions import SPEC_VERSION
from baton.domain.spec import JobSpec, ProgramJobSpec, dump_spec, granted_spec, parse_spec, spec_version

PROGRAM: dict[str, Any] = {"command": ["python", "train.py", "--lr", "3e-4"]}
DIGEST = "sha256:" + "0" * 64


def job(**fields: Any) -> dict[str, Any]:
    return {"name": "own", "program": PROGRAM, **fields}


def errors_of(data: object) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(data)
    return {error.field: error.message for error in caught.value.errors}


def test_a_mapping_with_program_is_a_program_and_another_one_is_a_classifier() -> None:
    assert isinstance(parse_spec(job()), ProgramJobSpec)
    network, stages = {"name": "network-1"}, [{"epochs": 1, "image_size": 16}]
    classifier = {"name": "own", "network": network, "dataset": {"name": "digits"}, "stages": stages}
    assert isinstance(parse_spec(classifier), JobSpec)


def test_all_fields_are_read_back_as_they_were_written() -> None:
    program = {**PROGRAM, "code": DIGEST, "environment": {"OMP_NUM_THREADS": "2"}, "working_directory": "src/run"}
    params = {"lr": 3e-4, "layers": [64, None], "text": "a" * 5_000, "none": None}
    data = {"train": f"photos@{DIGEST}", "words": "corpus"}
    spec = parse_spec(
        job(
            program=program,
            params=params,
            data=data,
            monitor={"metric": "val/loss", "mode": "min"},
            limits={"stall": "1m"},
        )
    )
    dumped = dump_spec(spec)
    assert (dumped["program"], dumped["params"], dumped["data"]) == (program, params, data)
    assert parse_spec(dumped) == spec
    assert list(dumped)[:5] == ["name", "program", "params", "monitor", "data"]


def test_only_a_new_worker_with_programs_gets_it() -> None:
    spec = parse_spec(job())
    assert spec_version(spec) == 6 <= SPEC_VERSION
    assert missing(spec.extensions, []) == ["programs (`baton worker --programs`)"]
    assert missing(spec.extensions, [PROGRAMS]) == []
    granted = granted_spec(dump_spec(spec))
    assert not {"notify", "queue", "priority", "retry", "source"} & set(granted)
    assert parse_spec(granted) == spec


def program(**fields: Any) -> dict[str, Any]:
    return {"program": {**PROGRAM, **fields}}


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"network": {"name": "network-1"}}, "network", "does not belong to a job with `program`"),
        ({"program": {}}, "program.command", "is required"),
        (program(command=[]), "program.command", "needs at least 1"),
        (program(command=["x"] * 101), "program.command", "takes at most 100"),
        (program(command="python train.py"), "program.command", "must be a list"),
        (program(command=["python", 5]), "program.command.1", 'put it in quotes, as "5"'),
        (program(command=[" "]), "program.command.0", "must name a program"),
        (program(command=["a\0b"]), "program.command.0", "NUL"),
        (program(shell=True), "program.shell", "is not a known field"),
        (program(code="sha256:1"), "program.code", "must match"),
        (program(environment={"lower": "1"}), "program.environment.lower", "upper-case"),
        (program(environment={"BATON_TOKEN": "1"}), "program.environment.BATON_TOKEN", "the worker sets"),
        (program(environment={"A": 1}), "program.environment.A", "must be text"),
        (program(environment={f"A{k}": "1" for k in range(51)}), "program.environment", "at most 50"),
        (program(working_directory="../other"), "program.working_directory", "inside the code bundle"),
        (program(working_directory="/etc"), "program.working_directory", "inside the code bundle"),
        ({"params": [1]}, "params", "must be a mapping"),
        ({"params": {"a": float("nan")}}, "params", "must be JSON"),
        ({"params": {"a": object()}}, "params", "must be JSON"),
        ({"params": {"a": "x" * 65_536}}, "params", "at most 65536 bytes"),
        ({"monitor": {"metric": "val loss", "mode": "min"}}, "monitor.metric", "must match"),
        ({"monitor": {"metric": "val_loss", "mode": "least"}}, "monitor.mode", "'min' or 'max'"),
        ({"data": {"a b": "photos"}}, "data.a b", "must match"),
        ({"data": {"train": "No!"}}, "data.train", "must be NAME"),
        ({"data": {f"d{k}": "photos" for k in range(21)}}, "data", "at most 20"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str, message: str) -> None:
    found = errors_of(job(**fields))
    assert list(found) == [field]
    assert message in found[field]


def test_params_that_are_nested_too_deeply_are_refused() -> None:
    deep: Any = 1
    for _ in range(25):
        deep = [deep]
    assert "20 levels" in errors_of(job(params={"a": deep}))["params"]


def test_fields_of_a_program_without_program_are_named() -> None:
    assert "replace network" in errors_of({"name": "own", "network": {"name": "network-1"}, "params": {}})["params"]
    assert errors_of({"name": "own", "params": {}}) == {"program": "is required"}
