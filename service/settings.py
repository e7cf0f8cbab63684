"""Settings from the environment. A bad one ends the start with a line that names the variable and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "BATON_"
ADVICE = {
    "token": "set BATON_TOKEN to a secret of at least 8 characters that users and workers send",
    "database_url": "give sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
    "redis_url": "give redis://HOST:PORT/NUMBER or rediss://...",
    "store": "give file:///absolute/directory or gs://bucket/prefix",
}


class SettingsError(Exception):
    """A setting is missing or makes no sense; the message is one line."""


def _default_store() -> str:
    return Path(".baton/store").absolute().as_uri()


class Settings(BaseSettings):
    """What the service needs to know. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    token: Annotated[SecretStr, Field(min_length=8)]
    database_url: str = "sqlite:///.baton/baton.db"
    redis_url: str = "redis://127.0.0.1:6379/0"
    store: str = Field(default_factory=_default_store)
    lease_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    heartbeat_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    conductor_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Time between two passes of the conductor; 0: this process has none."""
    dispatch_again_seconds: Annotated[float, Field(gt=0)] = 15.0
    """How long a message that was taken from Redis may stay without a claim before it is sent again."""
    leader_seconds: Annotated[float, Field(ge=1, le=300)] = 5.0
    """How long the conductor of a replica that fell silent keeps the others from conducting."""
    database_connections: Annotated[int, Field(ge=1, le=1000)] = 20
    """Of each replica to PostgreSQL, at most; its conductor has 3 more."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time between two looks for objects that nobody committed."""

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        try:
            url = make_url(value)
        except ArgumentError:
            raise ValueError("is no database URL") from None
        if url.drivername not in ("sqlite", "postgresql+psycopg"):
            raise ValueError(f"names {url.drivername}, which is not supported")
        if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
            raise ValueError("must name a file: a database in memory does not outlive the service")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: str) -> str:
        try:
            parse_url(value)  # type: ignore[no-untyped-call]  # its package has no annotation for it
        except ValueError:
            raise ValueError("is no Redis URL") from None
        return value

    @model_validator(mode="after")
    def _lease_outlives_heartbeat(self) -> Self:
        if self.lease_seconds <= self.heartbeat_seconds:
            raise ValueError(
                f"BATON_LEASE_SECONDS ({self.lease_seconds:g}) must be greater than "
                f"BATON_HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}); three times is a good choice"
            )
        return self

    @property
    def lost_after(self) -> float:
        """A worker silent for so long is shown as lost."""
        return 2 * self.lease_seconds


def load_settings() -> Settings:
    """The settings of this process. Raises SettingsError."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_line(item) for item in error.errors(include_url=False))) from None


def _line(item: Any) -> str:
    message: str = item["msg"].removeprefix("Value error, ")
    if not item["loc"]:
        return message
    field = str(item["loc"][0])
    if item["type"] == "missing":
        message = "is not set"
    advice = f"; {ADVICE[field]}" if field in ADVICE else ""
    return f"{PREFIX}{field.upper()}: {message}{advice}"
