"""The adapter for Amazon EC2 against a fake metadata server, over real HTTP."""

from __future__ import annotations

import pytest

from tests.support.metadata import Aws
from tests.unit.worker.notice_watch import asked, asked_again, pointed_at, watching
from worker.preemption.aws import AwsSource
from worker.preemption.notice import NoticeDetails
from worker.preemption.port import LEAST_SECONDS


def test_a_spot_instance_is_told_of_its_interruption(amazon: Aws) -> None:
    with watching(AwsSource()) as watch:
        asked(amazon, 5)
        assert watch.words.empty()
        amazon.give_notice(120)
        word = watch.word()
    assert (word.source, word.cause, word.certain) == ("aws", "spot instance-action terminate", True)
    assert 110 < word.seconds <= 120
    assert amazon.asked.count("PUT /latest/api/token") == 1


def test_a_token_that_expired_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Aws(token_seconds=0.2)
    with pointed_at(cloud, monkeypatch), watching(AwsSource()) as watch:
        asked(cloud, 60)
        cloud.give_notice(120)
        assert watch.word().certain
    assert cloud.asked.count("PUT /latest/api/token") > 1


@pytest.mark.parametrize(
    "item", ['{"action": "hibernate", "time": "2100-01-01T00:00:00Z"}', '{"action": "stop"}', "{}"]
)
def test_an_interruption_without_a_time_leaves_the_least(amazon: Aws, item: str) -> None:
    amazon.items["spot/instance-action"] = item
    word = AwsSource().look()
    assert word is not None
    assert (word.certain, word.seconds) == (True, LEAST_SECONDS)


def test_a_time_without_a_zone_and_one_in_the_past(amazon: Aws) -> None:
    amazon.items["spot/instance-action"] = '{"action": "stop", "time": "2017-09-18T08:22:00"}'
    word = AwsSource().look()
    assert word is not None
    assert word.seconds == LEAST_SECONDS


def test_a_rebalance_is_no_certainty_and_told_once(amazon: Aws) -> None:
    with watching(AwsSource()) as watch:
        amazon.recommend()
        assert watch.word() == NoticeDetails("aws", "rebalance recommendation", certain=False)
        asked_again(amazon, 10)
        assert watch.words.empty()
        amazon.give_notice(120)
        assert watch.word().certain


@pytest.mark.parametrize("text", ["[]", "no JSON", '"text"', "null"])
def test_nonsense_is_an_error_of_the_server(amazon: Aws, text: str) -> None:
    amazon.items["spot/instance-action"] = text
    with watching(AwsSource()) as watch:
        asked(amazon, 5)
        amazon.give_notice(120)
        assert watch.word().certain
