"""Calls of the Python SDK that read the series of a job: metrics by step. Asynchronous.

Generated from baton/client/series.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from baton.client.aio.transport import Transport
from baton.client.series import CSV, SECONDS, _path
from baton.domain.http_problems import media_type
from baton.domain.series import SeriesView


class SeriesCalls:
    """The calls about series. They need the scope read. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def series(self, job_id: str, *names: str, points: int = 500) -> list[SeriesView]:
        """The series of a job by name, without their points; or at most 20 that are named, with points.

        `points`: about so many points of each series. If it has more, the least and the greatest value of each bucket
        of steps are returned, so that no peak is lost. 100_000 returns all points that the service keeps.

        Raises:
            ApiError: status 404 if the job has no series with one of the names.
        """
        params = {"name": list(names), "points": points if names else None}
        answer = await self._transport.request("GET", _path(job_id), params=params)
        return [SeriesView.model_validate(item) for item in answer.json()["items"]]

    async def series_csv(self, job_id: str, *names: str) -> AsyncIterator[str]:
        """Yields the points of all series, or of those that are named, as CSV: `name,step,value,at`.

        `at`: Unix seconds. The parts are not whole lines.
        """

        def is_csv(response: httpx.Response) -> bool:
            return media_type(response.headers.get("Content-Type")) == CSV

        asked = {"name": list(names)}
        async with self._transport.stream(
            _path(job_id), wanted=is_csv, params=asked, headers={"Accept": CSV}, timeout=SECONDS
        ) as response:
            async for one in response.aiter_text():
                yield one
