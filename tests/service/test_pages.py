"""All lists have pages of one style: limit, cursor and sort in, items and next_cursor out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scripts.reference.rest import document
from service.db.unit_of_work import Unit
from service.errors import NotFound
from service.usecases import job_parts
from tests.service.helpers import Api, WorkerHand, assert_problem
from tests.service.pushes import Push
from tests.support.listener import listening

COMPLETE = {
    *("/v1/plans", "/v1/networks", "/v1/extensions", "/v1/curves", "/v1/jobs/{job_id}/series"),
    *("/v1/usage", "/v1/queue"),
}
"""Lists without pages: catalogs, numbers of jobs that the caller names, and reports of what is first."""


@pytest.fixture
def hand(api: Api) -> WorkerHand:
    """A job with three rows in each of its lists."""
    job = api.submit()["id"]
    for step in (1, 2):
        first = api.claim(job)
        assert first.checkpoint(step, "latest").status_code == 201
        first.finish("preempted")
    hand = api.claim(job)
    assert hand.checkpoint(3, "latest").status_code == 201
    for epoch in (1, 2, 3):
        assert hand.epoch(epoch, *((1, epoch) if epoch < 3 else (2, 1))).status_code == 200
        assert hand.artifact(f"file-{epoch}.txt", content=b"x").status_code == 200
        api.submit({"clone": job})
    return hand


def pages(api: Api, path: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.http.get(path, params={"limit": 1, **params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= 1
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize(
    ("part", "key", "sort"),
    [
        ("attempts", "attempt", "attempt"),
        ("stages", "stage", "stage"),
        ("checkpoints", "global_step", "-committed"),
        ("history", "epoch", "epoch"),
        ("events", "sequence", "sequence"),
        ("artifacts", "name", "name"),
        ("children", "id", "-created"),
    ],
)
def test_lists_of_a_job(api: Api, hand: WorkerHand, part: str, key: str, sort: str) -> None:
    path = f"/v1/jobs/{hand.job_id}/{part}"
    whole = [one[key] for one in api.http.get(path).json()["items"]]
    assert len(whole) >= 2
    assert [one[key] for one in pages(api, path)] == whole
    other = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
    assert [one[key] for one in pages(api, path, sort=other)] == whole[::-1]
    cursor = api.http.get(path, params={"limit": 1}).json()["next_cursor"]
    assert_problem(api.http.get(path, params={"cursor": cursor, "sort": other}), 422, "invalid-request")
    stranger = f"/v1/jobs/{api.submit()['id']}/{part}"
    assert_problem(api.http.get(stranger, params={"cursor": cursor}), 422, "invalid-request")


def test_lists_of_the_service(start: Callable[..., Api]) -> None:
    with listening() as listener:
        api = start(notify_urls=f"b={listener.url('b')}\na={listener.url('a')}")
    for name in ("one", "two"):
        api.token("read", name=name)
        Push().push(api, name)
        api.running(f"w-{name}")
    for path, key, sorts in (
        ("/v1/tokens", "name", ("created",)),
        ("/v1/audit", "number", ("created",)),
        ("/v1/data", "name", ("created",)),
        ("/v1/workers", "name", ("state", "name", "seen")),
        ("/v1/notifications/targets", "name", ("name",)),
    ):
        for sort in sorts:
            found = [one[key] for one in pages(api, path, sort=sort)]
            assert len(found) >= 2
            assert [one[key] for one in pages(api, path, sort=f"-{sort}")] == found[::-1]


def test_one_attempt(api: Api, hand: WorkerHand) -> None:
    shown = api.http.get(f"/v1/attempts/{hand.attempt_id}").json()
    assert (shown["id"], shown["attempt"], shown["job_id"]) == (hand.attempt_id, 3, hand.job_id)
    assert_problem(api.http.get(f"/v1/attempts/{'0' * 32}"), 404, "not-found")
    assert_problem(api.http.get("/v1/attempts/x"), 404, "not-found")
    with api.services.database.read() as session:
        session.info["project"] = "other"
        with pytest.raises(NotFound):
            job_parts.attempt(Unit(session), hand.attempt_id, api.services.settings.beats)
    assert api.http.delete(f"/v1/jobs/{hand.job_id}", params={"force": "true"}).status_code == 202
    assert_problem(api.http.get(f"/v1/attempts/{hand.attempt_id}"), 404, "not-found")


def test_every_list_of_the_contract_has_pages() -> None:
    schemas = document()["components"]["schemas"]
    for path, item in document()["paths"].items():
        if "get" not in item or path in COMPLETE:
            continue
        content = item["get"]["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
        refs = [content, *content.get("anyOf", ())]
        shapes = [schemas[one["$ref"].rpartition("/")[2]] for one in refs if "$ref" in one]
        if any("items" in shape.get("properties", {}) for shape in shapes):
            names = {one["name"] for one in item["get"].get("parameters", ())}
            assert {"limit", "cursor", "sort"} <= names, path
            assert all("next_cursor" in shape["properties"] for shape in shapes), path
