"""The adapter for Google Compute Engine against a fake metadata server, over real HTTP."""

from __future__ import annotations

import pytest

from tests.support.metadata import Aws, Azure, Cloud, Gce, serving
from tests.unit.worker.notice_watch import asked, watching
from worker.preemption import gce, watcher
from worker.preemption.notice import NoticeDetails


def test_a_preempted_vm_is_told_during_the_long_poll(google: Gce) -> None:
    with watching(gce.preemption()) as watch:
        asked(google, 2)
        assert "wait_for_change=true" in google.asked[1]
        assert "last_etag=" in google.asked[1]
        google.give_notice(30)
        assert watch.word() == NoticeDetails("gce", "preempted", 30.0)
    assert len(google.asked) == 2


def test_a_vm_that_is_preempted_already_is_told_at_once(google: Gce) -> None:
    google.set("preempted", "TRUE")
    with watching(gce.preemption()) as watch:
        assert watch.word().cause == "preempted"


def test_only_a_maintenance_that_terminates_is_an_end(google: Gce) -> None:
    with watching(gce.maintenance()) as watch:
        asked(google, 2)
        google.set("maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")
        asked(google, 3)
        google.set("maintenance-event", "NONE")
        asked(google, 4)
        assert watch.words.empty()
        google.set("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")
        assert watch.word() == NoticeDetails("gce", "TERMINATE_ON_HOST_MAINTENANCE", 60.0)


def test_a_long_poll_that_ends_without_a_change_is_begun_anew(google: Gce) -> None:
    source = gce.preemption()
    source.poll_seconds = 0
    with watching(source) as watch:
        asked(google, 5)
        assert watch.words.empty()
        google.give_notice(30)
        assert watch.word().source == "gce"


def test_a_server_without_googles_header_is_not_google(microsoft: Azure, amazon: Aws) -> None:
    class Anything(Cloud):
        def answer(self, request: object) -> None:
            request.reply(200, "TRUE")  # type: ignore[attr-defined]

    with serving(Anything()) as portal:
        source = gce.GceSource("preempted", {"TRUE": ("preempted", 30.0)}, host=portal.host)
        assert not watcher.is_there(source)
        with pytest.raises(ValueError, match="not a metadata server of Google"):
            source.look()
