"""Commands that change many jobs, or fields of one."""

import json
from typing import Any

import pytest
import typer

from baton.cli import steering
from tests.client.command_line import Baton
from tests.client.fake_service import FakeService, job

PREVIEW = {"preview": {"number": 2, "more": False, "jobs": [{"id": "a" * 32, "name": "net", "status": "queued"}]}}
QUEUED = ("--label", "team=red", "--status", "queued")


def sent(fake: FakeService) -> list[dict[str, Any]]:
    return [body for method, path, body in fake.requests if (method, path) == ("POST", "/v1/jobs:bulk")]


def test_a_filter_is_previewed_and_needs_yes_without_a_terminal(baton: Baton, fake: FakeService) -> None:
    fake.bulk = [PREVIEW]
    refused = baton("cancel", *QUEUED)
    assert (refused.exit_code, "2 jobs: net (aaaaaaaa), ..." in refused.stderr) == (2, True)
    assert "--yes" in refused.stderr
    chosen = {"filter": {"label": ["team:red"], "status": ["queued"]}}
    assert sent(fake) == [{"action": "cancel", "preview": True, **chosen}]


def test_a_terminal_is_asked_and_the_number_it_saw_counts(
    baton: Baton, fake: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "asks", lambda: True)
    fake.bulk = [PREVIEW, PREVIEW, {"done": 2}]
    declined = baton("cancel", *QUEUED, input="n\n")
    assert (declined.exit_code, "nothing was changed" in declined.stderr, len(sent(fake))) == (0, True, 1)
    agreed = baton("cancel", *QUEUED, input="y\n")
    assert (agreed.exit_code, agreed.stdout.splitlines()[-1].strip()) == (0, "cancel: 2 done")
    assert sent(fake)[-1]["expect"] == 2


def test_many_calls_are_one_result_and_skipped_jobs_have_status_4(baton: Baton, fake: FakeService) -> None:
    why = {"id": "b" * 32, "name": "old", "why": "the job is succeeded"}
    first = {"done": 200, "left": 2, "next_cursor": "0.7"}
    fake.bulk = [PREVIEW, first, {"done": 1, "unchanged": 1, "skipped": 1, "reasons": [why]}] * 2
    found = baton("pause", "--all", "--yes")
    assert (found.exit_code, found.stdout) == (4, "pause: 201 done, 1 unchanged, 1 skipped\n")
    assert "old (bbbbbbbb): the job is succeeded" in found.stderr
    assert [body.get("cursor") for body in sent(fake)] == [None, None, "0.7"]
    assert json.loads(baton("pause", "--all", "--yes", "--json").stdout)["done"] == 201


def test_nothing_that_matches_is_no_error(baton: Baton, fake: FakeService) -> None:
    fake.bulk = [{"preview": {"number": 0, "more": False, "jobs": []}}]
    found = baton("resume", "--name", "net-*")
    assert (found.exit_code, found.stdout) == (0, "resume: 0 done\n")


def test_several_jobs_by_name_are_labelled_in_one_call(baton: Baton, fake: FakeService) -> None:
    ids = ["a" * 32, "b" * 32]
    fake.jobs = {ids[0]: job(ids[0], "first"), ids[1]: job(ids[1], "second")}
    fake.bulk = [{"done": 2}]
    assert baton("label", "team=blue", "draft-", "first", ids[1]).exit_code == 0
    assert sent(fake) == [{"action": "label", "ids": ids, "labels": {"team": "blue", "draft": None}, "expect": None}]


@pytest.mark.parametrize(
    "arguments",
    [
        ("cancel",),
        ("cancel", "j1", "--all"),
        ("cancel", "--label", "team"),
        ("label", "j1"),
        ("edit", "j1"),
        ("cancel", "--all", "--name", ""),
        ("delete", "--status", "failed", "--name", "", "--yes"),
        ("delete", ""),
    ],
)
def test_an_unclear_command_is_bad_usage(baton: Baton, fake: FakeService, arguments: tuple[str, ...]) -> None:
    fake.jobs["j1"] = job("j1")
    assert baton(*arguments).exit_code == 2
    assert sent(fake) == []


def test_edit_sends_a_merge_patch(baton: Baton, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    options = ("--set", "priority=high", "--set", "labels.a.b=null", "--set", "checkpoint.every=60s", "--note", "")
    changed = baton("edit", "j1", *options, "--protect")
    assert (changed.exit_code, "priority, labels, checkpoint, notes, protected" in changed.stdout) == (0, True)
    wanted = {"priority": "high", "labels": {"a.b": None}, "checkpoint": {"every": "60s"}, "notes": None}
    assert fake.requests[-1] == ("PATCH", "/v1/jobs/j1", {**wanted, "protected": True})


def test_set_paths_that_contradict_each_other_are_bad_usage() -> None:
    with pytest.raises(typer.Exit):
        steering._nested({"limits": 5, "limits.stall": 6})
