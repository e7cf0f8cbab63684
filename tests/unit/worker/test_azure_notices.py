"""The adapter for Azure against a fake metadata server, over real HTTP."""

from __future__ import annotations

import pytest

from tests.support.metadata import Azure
from tests.unit.worker.notice_watch import asked, asked_again, watching
from worker.preemption.azure import AzureSource
from worker.preemption.port import LEAST_SECONDS, MOST_SECONDS


@pytest.mark.parametrize("kind", ["Preempt", "Terminate", "Reboot", "Redeploy"])
def test_an_event_that_ends_this_machine(microsoft: Azure, kind: str) -> None:
    with watching(AzureSource()) as watch:
        asked(microsoft, 4)
        microsoft.schedule("Freeze", 900)
        microsoft.schedule(kind, 30, "trainer_4")
        asked_again(microsoft, 4)
        assert watch.words.empty()
        microsoft.schedule(kind, 45, "trainer_2", "Trainer_3")
        word = watch.word()
    assert (word.source, word.cause, word.certain) == ("azure", kind, True)
    assert 35 < word.seconds <= 45


def test_of_several_events_the_first_counts(microsoft: Azure) -> None:
    microsoft.schedule("Reboot", 900)
    microsoft.schedule("Preempt", 30)
    word = AzureSource().look()
    assert word is not None
    assert word.cause == "Preempt"


@pytest.mark.parametrize(("seconds", "left"), [(None, LEAST_SECONDS), (-60.0, LEAST_SECONDS), (1e6, MOST_SECONDS)])
def test_an_event_that_began_and_a_clock_that_is_wrong(microsoft: Azure, seconds: float | None, left: float) -> None:
    microsoft.schedule("Terminate", seconds)
    word = AzureSource().look()
    assert word is not None
    assert word.seconds == left
