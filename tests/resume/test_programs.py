"""What XLA compiled goes with the checkpoints: a job that is stopped takes it up in another process, to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.domain.manifest import MANIFEST, Manifest, ProgramSet, programs_prefix
from core.storage import open_store
from tests.resume.endings import Ending
from tests.resume.stand import Kill, Run, Stand
from tests.support.jobs import Jobs
from tests.support.saboteur import Shot

SPEC: dict[str, Any] = {
    "name": "compiled",
    "network": {"name": "network-2", "width": 0.02, "dropout": 0.2},
    "dataset": {"name": "digits", "per_class": 20},
    "stages": [{"image_size": 8, "batch_size": 8, "epochs": 3, "steps_per_epoch": 2}],
    "checkpoint": {"every": "1 steps", "keep": 10},
    "retry": {"backoff": 0},
}
# As it is about to validate: the next process does that first, and so would compile in another order than this one did.
KILL = Kill((Shot("validation", 2, "SIGTERM"),))


@pytest.fixture(scope="module")
def compiling(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """A stand whose workers compile; what they compile stays on this machine."""
    return replace(stand, settings={"BATON_XLA": "on", "BATON_CACHE": str(tmp_path_factory.mktemp("cache"))})


@pytest.fixture(scope="module")
def stopped(compiling: Stand) -> Run:
    """The first job of the machine, in two processes."""
    return compiling.run(SPEC, [KILL])


@pytest.fixture(scope="module")
def ending(compiling: Stand, stopped: Run) -> Ending:
    assert stopped.fired == list(KILL.shots)
    return compiling.ending(stopped)


def items(stand: Stand, run: Run, what: str) -> list[dict[str, Any]]:
    with stand.service.client() as http:
        return Jobs(http).items(run.job, what)


def programs(stand: Stand, run: Run) -> list[tuple[int, ProgramSet]]:
    """What the checkpoints carry, the oldest first, each with its fence."""
    store, found = open_store(stand.service.store_url), []
    for row in sorted(items(stand, run, "checkpoints"), key=lambda row: (row["fence"], row["committed_at"])):
        carried = Manifest.model_validate_json(store.get(f"{row['prefix']}/{MANIFEST}")).programs
        assert carried is not None
        found.append((int(row["fence"]), carried))
    return found


def inexact(stand: Stand, run: Run) -> list[str]:
    return [event["message"] for event in items(stand, run, "events") if event["kind"] == "resumed_inexactly"]


def test_the_second_process_compiles_nothing(compiling: Stand, stopped: Run) -> None:
    carried = programs(compiling, stopped)
    before = [one for fence, one in carried if fence == 1][-1]
    after = [one for fence, one in carried if fence == 2][-1]
    # One for training, one for validation: what is compiled again would be a third.
    assert len(before.files) == 2
    assert after == before
    assert inexact(compiling, stopped) == []
    store = open_store(compiling.service.store_url)
    assert [blob.name for blob in store.list(f"{programs_prefix(stopped.job)}/")] == sorted(
        file.object for file in before.files
    )


def test_a_job_in_one_go_has_the_same_bits(compiling: Stand, stopped: Run, ending: Ending) -> None:
    whole = compiling.run(SPEC)
    assert ending.differences(compiling.ending(whole)) == []
    same = {(file.name, file.crc32c) for file in programs(compiling, stopped)[-1][1].files}
    assert {(file.name, file.crc32c) for file in programs(compiling, whole)[0][1].files} == same


def test_damaged_programs_are_named_and_the_job_goes_on(compiling: Stand, ending: Ending) -> None:
    with compiling.service.client() as http:
        run = Run(Jobs(http).submit(SPEC))
    compiling.go_on(run, [KILL], pause=True)
    store = open_store(compiling.service.store_url)
    for blob in list(store.list(f"{programs_prefix(run.job)}/")):
        store.put(blob.name, store.get(blob.name)[:-1])
    compiling.go_on(run, [])
    (said,) = inexact(compiling, run)
    assert said.startswith("resumed inexactly: the compiled program is damaged: xla_compile_cache__")
    # On a processor the same program has the same bits, whoever compiles it.
    assert ending.differences(compiling.ending(run)) == []
