"""The SDK against a real HTTP server."""

import asyncio
import threading
import time
from inspect import signature
from pathlib import Path

import pytest

from baton.client.aio.client import AsyncClient
from baton.client.aio.job import AsyncJob
from baton.client.client import Client
from baton.client.errors import ApiError, DownloadError, Unreachable
from baton.client.find_job import AmbiguousJob, find_job
from baton.client.job import Job
from baton.client.transport import RetryPolicy
from baton.domain.errors import FieldError
from baton.domain.views import ProblemView
from tests.client.conftest import Connect
from tests.client.fake_service import TOKEN, FakeService, attempt, epoch, job

QUICK = RetryPolicy(tries=3, first_delay=0.01)


def test_a_submission_that_is_repeated_after_a_lost_response_makes_one_job(fake: FakeService, client: Client) -> None:
    fake.drop_after_submit = 1
    made = client.submit({"name": "mine"})
    assert list(fake.jobs) == [made.id]
    assert [method for method, _, _ in fake.requests] == ["POST", "POST"]


def test_a_plan_is_submitted_by_name_with_its_changes(fake: FakeService, client: Client) -> None:
    client.submit_plan("digits-demo", {"stages.0.epochs": 2})
    assert fake.requests[0][2] == {"plan": "digits-demo", "set": {"stages.0.epochs": 2}}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_service_is_asked_again(fake: FakeService, client: Client, status: int) -> None:
    fake.jobs["j1"] = job("j1")
    fake.failures = [(status, {}), (status, {"Retry-After": "0"})]
    assert client.job("j1").id == "j1"


def test_pausing_is_not_repeated_for_a_busy_service(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    fake.failures = [(503, {})]
    with pytest.raises(Unreachable, match="503"):
        client.pause("j1")
    assert len(fake.requests) == 1


def test_too_many_requests_in_the_end_is_a_refusal(fake: FakeService, client: Client) -> None:
    fake.failures = [(429, {})] * 4
    with pytest.raises(ApiError) as refused:
        client.jobs()
    assert refused.value.status == 429


def test_a_bad_spec_names_its_fields(client: Client) -> None:
    with pytest.raises(ApiError) as refused:
        client.submit({"name": "bad"})
    assert refused.value.problem.errors[0].field == "stages.0.epochs"
    assert "stages.0.epochs: at least 1" in str(refused.value)


def test_a_lone_mistake_is_told_once() -> None:
    wrong = FieldError(field="seed", message="must be a whole number")
    told = ApiError(
        ProblemView(
            type="about:blank", title="No", status=422, detail="seed: must be a whole number", code="x", errors=[wrong]
        )
    )
    assert str(told) == "seed: must be a whole number"


def test_a_wrong_token_is_refused_without_repeating(connect: Connect, fake: FakeService) -> None:
    with connect(fake.url, "wrong", patience=QUICK) as stranger, pytest.raises(ApiError) as refused:
        stranger.jobs()
    assert (refused.value.status, len(fake.requests)) == (401, 1)


def test_nobody_there(connect: Connect, fake: FakeService) -> None:
    fake.stop()
    with connect(fake.url, "x", patience=QUICK) as lonely, pytest.raises(Unreachable, match=str(fake.port)):
        lonely.jobs()


def test_all_jobs_follows_the_pages(fake: FakeService, client: Client) -> None:
    fake.jobs = {f"j{k}": job(f"j{k}") for k in range(5)}
    assert [j.id for j in client.all_jobs()] == ["j4", "j3", "j2", "j1", "j0"]


def test_lists_are_typed(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    fake.lists = {"history": [epoch(1), epoch(2)], "attempts": [attempt(1, "running", 0)]}
    assert [row.epoch for row in client.history("j1")] == [1, 2]
    assert client.attempts("j1")[0].state == "running"
    assert client.stages("j1") == []


def test_follow_gives_each_version_once_until_the_end(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    versions = [1, 1, 2, 3, 3]
    fake.stories["j1"] = [job("j1", version=v) for v in versions] + [job("j1", version=4, status="succeeded")]
    assert [(j.version, j.status) for j in client.follow("j1")] == [
        (1, "running"), (2, "running"), (3, "running"), (4, "succeeded")
    ]  # fmt: skip
    assert "wait=20.0&version=1" in fake.requests[1][1]


def test_wait_survives_a_restart_of_the_service(connect: Connect, fake: FakeService) -> None:
    fake.jobs["j1"] = job("j1")
    outages: list[Unreachable] = []
    back = threading.Event()

    def outage(error: Unreachable) -> None:
        outages.append(error)
        if not back.is_set():
            back.set()
            fake.jobs["j1"] = job("j1", version=2, status="failed", message="no luck")
            fake.start()

    with connect(fake.url, "a-token", patience=RetryPolicy(tries=1)) as patient:
        seen = []
        for state in patient.follow("j1", on_outage=outage):
            seen.append(state.status)
            if state.version == 1:
                fake.stop()
    assert seen == ["running", "failed"]
    assert outages


def test_wait_gives_up_after_its_timeout(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    with pytest.raises(TimeoutError):
        client.wait("j1", timeout=0.2)


def test_wait_gives_up_after_a_long_outage(connect: Connect, fake: FakeService) -> None:
    fake.stop()
    with connect(fake.url, "x", patience=QUICK) as lonely, pytest.raises(Unreachable):
        lonely.wait("j1", outage=0.1)


def test_download_is_checked(fake: FakeService, client: Client, tmp_path: Path) -> None:
    fake.jobs["j1"] = job("j1")
    fake.files = {"best.keras": b"weights" * 10_000}
    assert client.download("j1", "best.keras", tmp_path / "b").read_bytes() == b"weights" * 10_000
    fake.damaged = {"best.keras"}
    with pytest.raises(DownloadError, match="damaged"):
        client.download("j1", "best.keras", tmp_path / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_job_is_found_by_id_prefix_and_name(fake: FakeService, client: Client) -> None:
    fake.jobs = {i: job(i, name) for i, name in [("aab1", "first"), ("aab2", "twice"), ("cc3", "twice")]}
    assert find_job(client, "aab1").id == "aab1"
    assert find_job(client, "cc").id == "cc3"
    assert find_job(client, "twice").id == "cc3"
    with pytest.raises(AmbiguousJob, match="several job ids"):
        find_job(client, "aab")
    with pytest.raises(ApiError, match="no job 'zz'"):
        find_job(client, "zz")


def test_a_name_is_not_taken_for_the_start_of_the_id_of_another_job(fake: FakeService, client: Client) -> None:
    """`baton delete` would delete the wrong job."""
    fake.jobs = {i: job(i, name) for i, name in [("b1" + "0" * 30, "net"), ("c2" + "0" * 30, "b")]}
    assert find_job(client, "b").name == "b"
    assert find_job(client, "b1").name == "net"
    fake.jobs["d3"] = job("d3", "b1" + "0" * 10)
    with pytest.raises(AmbiguousJob, match="give the whole id"):
        find_job(client, "b1" + "0" * 10)
    fake.jobs = {"d3": job("d3", "only")}
    with pytest.raises(AmbiguousJob, match="empty"):
        find_job(client, "")


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 502])
def test_another_server_is_not_taken_for_baton(
    connect: Connect, status: int, fake: FakeService, tmp_path: Path
) -> None:
    """A response of a proxy, an ingress or a sign-in page counts as an unavailable service, whatever its status."""
    fake.foreign = status
    with connect(fake.url, TOKEN, patience=QUICK) as client:
        for call in (
            lambda: client.job("nothing"),
            lambda: client.pause("nothing"),
            lambda: list(client.log_stream("nothing", 1, outage=0.0)),
            lambda: list(client.events_stream("nothing", outage=0.0)),
            lambda: client.download("nothing", "best.keras", tmp_path / "best.keras"),
        ):
            with pytest.raises(Unreachable, match="does not come from a Baton service: check BATON_URL"):
                call()
    assert not (tmp_path / "best.keras").exists()


def test_an_ingress_that_answers_for_the_service_is_an_outage(connect: Connect, fake: FakeService) -> None:
    fake.jobs["j1"], fake.foreign = job("j1", status="succeeded"), 404
    with connect(fake.url, TOKEN, patience=RetryPolicy(tries=1)) as client:

        def back(error: Unreachable) -> None:
            fake.foreign = 0

        assert [state.status for state in client.follow("j1", on_outage=back)] == ["succeeded"]


def test_the_store_may_refuse_a_download(fake: FakeService, client: Client, tmp_path: Path) -> None:
    fake.files = {"best.keras": b"weights"}
    fake.link_expired = True
    with pytest.raises(DownloadError, match="the store answered 403"):
        client.download("j1", "best.keras", tmp_path / "best.keras")


def test_a_job_is_waited_for_and_steered_itself(fake: FakeService, client: Client) -> None:
    fake.jobs["j1"] = job("j1")
    found = client.job("j1")
    with pytest.raises(TimeoutError, match="j1"):
        found.wait(timeout=0.2)
    asked = [found.pause(), found.cancel(), found.resume(), found.retry()]
    assert [job.status for job in asked] == ["pausing", "cancelling", "queued", "queued"]
    fake.jobs["j1"] = job("j1", status="succeeded", version=9)
    assert (found.status, found.refresh().status) == ("running", "succeeded")
    assert [seen.status for seen in found.follow()] == ["succeeded"]
    assert found.wait().id == "j1"
    assert [one.refresh().status for one in client.all_jobs()] == ["succeeded"]
    assert "client" not in found.model_dump_json()


def test_a_job_that_came_from_no_client_says_how_to_get_one() -> None:
    with pytest.raises(RuntimeError, match="Client"):
        Job.model_validate(job("j1")).wait()
    with pytest.raises(RuntimeError, match="AsyncClient"):
        asyncio.run(AsyncJob.model_validate(job("j1")).wait())


def test_both_clients_have_the_same_methods() -> None:
    for one, other in ((Client, AsyncClient), (Job, AsyncJob)):
        names = {name for name in dir(one) if not name.startswith("_")}
        assert names == {name for name in dir(other) if not name.startswith("_")}
        for name in names & {"submit", "all_jobs", "follow", "wait", "push_data", "series", "of"}:
            assert list(signature(getattr(one, name)).parameters) == list(signature(getattr(other, name)).parameters)


def test_a_jobs_file_is_fetched_by_it(fake: FakeService, client: Client, tmp_path: Path) -> None:
    fake.jobs["j1"] = job("j1")
    fake.files["best.keras"] = b"weights"
    assert client.job("j1").download("best.keras", str(tmp_path / "best")).read_bytes() == b"weights"


def test_the_clocks_are_compared(client: Client) -> None:
    assert abs(client.clock_offset()) < 20
    assert 280 < client.clock_offset(lambda: time.time() + 300) < 320


def test_delays_grow_and_stay_bounded() -> None:
    patience = RetryPolicy(first_delay=0.2, longest_delay=5.0)
    assert [patience.delay(n, 0.999999) for n in (1, 2, 3)] == pytest.approx([0.2, 0.4, 0.8], rel=1e-4)
    assert patience.delay(50, 0.0) == 2.5
