"""The settings of a process that uses only the database."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "BATON_"


def _known_database(value: str) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError("is not a database URL") from None
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError(f"names {url.drivername}, which is not supported")
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("must name a file: a database in memory is lost when the service ends")
    return value


DatabaseUrl = Annotated[str, AfterValidator(_known_database)]
DEFAULT_DATABASE = "sqlite:///.baton/baton.db"


class DatabaseSettings(BaseSettings):
    """The settings of a process that uses only the database."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: Annotated[DatabaseUrl, Field(repr=False)] = DEFAULT_DATABASE
