"""The floor, the minimum cost of an answer: a bare FastAPI route with one SELECT.

`python -m bench.floor_app PORT DATABASE_URL`: the same framework, server, database and driver as the service. It
uses no code of Baton except the tables.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import create_engine, select

from service.db.tables import Job


def floor_app(url: str) -> FastAPI:
    """One route: a job's row by its number, as JSON."""
    engine, table = create_engine(url, pool_size=20, max_overflow=20), Job.__table__
    app = FastAPI()

    @app.get("/jobs/{number}")
    def show(number: int) -> dict[str, Any]:
        with engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.number == number)).one()
        return dict(row._mapping)

    return app


if __name__ == "__main__":
    uvicorn.run(floor_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
