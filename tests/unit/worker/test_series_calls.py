"""The worker's calls about series and rollbacks: split into batches, and left out for an older service."""

from __future__ import annotations

import json

import httpx
import pytest

from baton.domain.protocol_versions import ROLLS_BACK_HISTORY, TAKES_SERIES
from baton.domain.series import BATCH_POINTS, SeriesPoint
from tests.unit.worker.mock_service import speaking_to

POINTS = [SeriesPoint(name="loss", step=step, value=float("nan"), at=1.8e9) for step in range(BATCH_POINTS + 1)]


def answered(protocol: int) -> list[tuple[str, int, int]]:
    """Send POINTS and a rollback. The path, fence, and number of points or step of each request."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        asked.append((request.url.path, body["fence"], body.get("after_step", len(body.get("points", [])))))
        if "points" not in body:
            return httpx.Response(204)
        assert body["points"][0] == {"name": "loss", "step": 0, "value": "NaN", "at": 1.8e9} or len(body["points"]) == 1
        return httpx.Response(200, json={"left_out": [f"name-{len(body['points'])}"]})

    client = speaking_to(answer)
    client.hold("a", "token", protocol)
    left_out = client.series("a", 3, POINTS)
    client.rollback_series("a", 3, -1)
    client.close()
    assert left_out == ({f"name-{BATCH_POINTS}", "name-1"} if asked else set())
    return asked


def test_points_are_sent_in_batches() -> None:
    assert answered(TAKES_SERIES) == [
        ("/v1/attempts/a/series", 3, BATCH_POINTS),
        ("/v1/attempts/a/series", 3, 1),
        ("/v1/attempts/a/series/rollback", 3, -1),
    ]


@pytest.mark.parametrize(("protocol", "asked"), [(ROLLS_BACK_HISTORY, 1), (ROLLS_BACK_HISTORY - 1, 0)])
def test_an_older_service_keeps_its_rows(protocol: int, asked: int) -> None:
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append((request.url.path, json.loads(request.content)))
        return httpx.Response(204)

    client = speaking_to(answer)
    client.hold("a", "token", protocol)
    client.rollback_history("a", 3, 7, None)
    client.close()
    assert bodies == [("/v1/attempts/a/epochs/rollback", {"fence": 3, "after_epoch": 7, "best": None})] * asked


def test_an_older_service_gets_none() -> None:
    assert answered(TAKES_SERIES - 1) == []
