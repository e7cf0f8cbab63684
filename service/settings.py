"""Settings from environment variables. For an invalid one the start fails with a line that names it and the fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url

from baton.domain.notifications import USUAL, NotificationKind
from baton.domain.queues import QUEUE
from baton.domain.spec import LABEL
from baton.telemetry.log_format import Format, Level, lower
from baton.telemetry.redaction import Secrets, password_of
from service import cost_settings, retention_settings
from service.database_settings import DEFAULT_DATABASE, PREFIX, DatabaseSettings, DatabaseUrl
from service.root_path import checked_root_path, root_path_of
from service.setting_values import LimitMap, Names, Notices, Origins, Proxies, address, default_proxies
from service.usecases.attempt_limits import ANY, Limits
from service.usecases.heartbeat_age import HeartbeatTimes

ADVICE = {
    "token": "set BATON_TOKEN to a secret of at least 8 characters that the administrator sends",
    "work_token": "set BATON_WORK_TOKEN to a secret of at least 8 characters that workers send",
    "tunnel_token": "set BATON_TUNNEL_TOKEN to a secret of at least 8 characters that workers send",
    "tunnel_port": "give a port that is not BATON_PORT",
    "wheel": "give the path of Baton's wheel, or of the folder with it",
    "read_token": "set BATON_READ_TOKEN to a secret of at least 8 characters that autoscalers and Prometheus send",
    "forwarded_allow_ips": "give addresses and networks such as 10.0.0.7,10.8.0.0/16, or * for any",
    "database_url": "give sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
    "redis_url": "give redis://HOST:PORT/NUMBER or rediss://...",
    "queue_limits": """give concurrent attempts by queue as JSON, e.g. {"default": 4}""",
    "label_limits": """give concurrent attempts by label as JSON, e.g. {"team:vision": 2, "user:*": 1}""",
    "cors_origins": "give origins such as https://dashboard.example.org, separated by commas",
    "public_url": "give the address of the dashboard, e.g. https://baton.example.org or https://example.org/baton",
    "root_path": "give the path under which a proxy publishes the service, e.g. /baton",
    "notify_on": f"give some of {', '.join(NotificationKind)}, separated by commas",
    "store": "give file:///absolute/directory, gs://bucket/prefix, s3://bucket/prefix or az://container/prefix",
    "data_bytes": "give a number of bytes, e.g. 100000000000, or 0 for no limit",
    "code_bytes": "give a number of bytes, e.g. 10000000000, or 0 for no limit",
    "store_replaces": "give the identity from the service's log, 32 hex digits, or leave it empty",
    **retention_settings.ADVICE,
    **cost_settings.ADVICE,
}
_S = TypeVar("_S", bound=BaseSettings)


class SettingsError(Exception):
    """A setting is missing or invalid. The message is one line."""


def _default_store() -> str:
    return Path(".baton/store").absolute().as_uri()


class Settings(cost_settings.CostSettings, retention_settings.RetentionSettings):
    """The settings of the service. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    token: Annotated[SecretStr, Field(min_length=8)]
    """The administrator's token, with all scopes. It is needed to create the first other tokens."""
    work_token: Annotated[SecretStr, Field(min_length=8)] | None = None
    """A token with exactly the scope `work`, for the workers of a deployment; no API call is needed to create it."""
    read_token: Annotated[SecretStr, Field(min_length=8)] | None = None
    """A token with exactly the scope `read`, for autoscalers and Prometheus."""
    database_url: Annotated[DatabaseUrl, Field(repr=False)] = DEFAULT_DATABASE
    """sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/NAME for more than one machine."""
    migrate: bool = True
    """Whether the service migrates the database at the start. 0: run `baton migrate`; an older schema is refused."""
    redis_url: Annotated[str, Field(repr=False)] = "redis://127.0.0.1:6379/0"
    """redis:// or rediss://. Redis carries only hints, so it may lose its data."""
    store: str = Field(default_factory=_default_store)
    """file:///directory, gs://bucket/prefix, s3://bucket/prefix or az://container/prefix; default: .baton/store in the
    working directory."""
    store_replaces: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """The identity of an earlier store that is given up, from the service's log. Jobs with checkpoints only in that
    store fail with wrong_store."""
    lease_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long a worker keeps its attempt without a heartbeat."""
    heartbeat_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """How often workers renew their leases."""
    cancel_seconds: Annotated[float, Field(gt=0, le=86_400)] = 20.0
    """Time limit for a worker to cancel its attempt; after that the service ends the attempt."""
    pause_seconds: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """The same for a pause; the training since the last checkpoint is then lost and repeated."""
    data_bytes: Annotated[int, Field(ge=0)] = 0
    """Maximum bytes of pushed data in the store; further data is refused. 0: no limit."""
    code_bytes: Annotated[int, Field(ge=0)] = 10_000_000_000
    """Maximum bytes of all code bundles in the store; further code is refused. 0: no limit."""
    series_points: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    """Points that a series keeps. One with more keeps the least and the greatest value of each bucket of steps."""
    host: str = "127.0.0.1"
    """Address to listen on, IPv4 or IPv6. `::`: all addresses of both kinds."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on; 0: any free port."""
    conductor_seconds: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Time between two passes of the reconciler; 0: no reconciler in this process."""
    dispatch_again_seconds: Annotated[float, Field(gt=0)] = 15.0
    """How long a message that was taken from Redis may stay without a claim before it is sent again."""
    leader_seconds: Annotated[float, Field(ge=1, le=300)] = 5.0
    """Lease of the leading reconciler: after this time without renewal another replica takes over."""
    database_connections: Annotated[int, Field(ge=1, le=1000)] = 20
    """Maximum connections of each replica to PostgreSQL; two fifths serve only workers. The reconciler has 18 more."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time between two searches for objects that were never committed."""
    queue_limits: LimitMap = Field(default_factory=dict)
    """Maximum concurrent attempts by queue. All replicas must have the same value."""
    label_limits: LimitMap = Field(default_factory=dict)
    """The same by label: `key:value`, or `key:*` for each value of the key without a separate limit."""
    connections: Annotated[int, Field(ge=16, le=1_000_000)] = 2000
    """Maximum client connections. More close idle ones. One token may use half; some are reserved for the admin."""
    slow_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Time limit for the head of a request, and again for its body. A client that does not read its response is
    disconnected after 4 times as long."""
    failed_logins: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    """Wrong tokens per minute and address before further ones get 429; 0: no limit."""
    session_seconds: Annotated[float, Field(ge=60, le=30 * 86_400)] = 12 * 3600.0
    """How long a browser's session lasts."""
    cors_origins: Origins = ()
    """Origins of other pages that may call the API with a token. Browser sessions work only on the service's pages."""
    tls_proxy: bool = False
    """Set it if a proxy in front ends TLS: cookies are sent only over HTTPS, and the start does not warn about TLS."""
    tunnel_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Another port, on loopback, for the tunnel of `baton up --share`. It answers only the calls of workers."""
    tunnel_token: Annotated[SecretStr, Field(min_length=8)] | None = None
    """A token with exactly the scope `work`, for the workers of a share. It is valid while this service runs."""
    wheel: Path | None = None
    """Baton's own wheel, or the folder with it, for GET /v1/install/worker.py. The images set it."""
    forwarded_allow_ips: Proxies = Field(default_factory=default_proxies, validate_default=True)
    """Trusted proxies for `X-Forwarded-For` and `X-Forwarded-Proto`: addresses and networks, or `*` for any peer;
    default: FORWARDED_ALLOW_IPS, else loopback."""
    log_format: Annotated[Format, BeforeValidator(lower)] = "text"
    """`json`: one object per line."""
    log_level: Annotated[Level | None, BeforeValidator(lower)] = None
    """Default: `info` with JSON, `warning` with text."""
    metrics_public: bool = False
    """GET /metrics needs no token."""
    public_url: Annotated[str, AfterValidator(address)] | None = None
    """Address of the dashboard, for links in notifications. Its path is the default of BATON_ROOT_PATH."""
    root_path: Annotated[str, AfterValidator(checked_root_path)] | None = None
    """Path prefix under which a proxy publishes the service, such as /baton; default: the path of BATON_PUBLIC_URL.
    The proxy may remove it or leave it."""
    notify_urls: SecretStr = SecretStr("")
    """Targets of notifications as Apprise URLs, or NAME=URL, one per line or separated by commas."""
    notify_file: Path | None = None
    """A file with more targets, one per line."""
    notify_targets: Names = None
    """Targets for jobs whose spec names none; default: all."""
    notify_on: Notices = USUAL
    """Events to notify about, for jobs whose spec names none."""
    notify_recoveries: Annotated[int, Field(ge=0, le=100_000)] = 3
    """Interruptions of a job before a notification, for jobs whose spec does not set it."""
    notify_tries: Annotated[int, Field(ge=1, le=100)] = 12
    """Maximum tries to send one notification."""
    notify_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 15.0
    """Time limit of one try."""
    notify_backoff_seconds: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """Wait after the first failed try. It doubles with each try, up to an hour."""

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: str) -> str:
        try:
            parse_url(value)  # type: ignore[no-untyped-call]  # redis has no annotation for it
        except ValueError:
            raise ValueError("is not a Redis URL") from None
        return value

    @field_validator("queue_limits")
    @classmethod
    def _queues(cls, value: dict[str, int]) -> dict[str, int]:
        odd = next((name for name in value if not re.fullmatch(QUEUE, name)), None)
        if odd is not None:
            raise ValueError(f"has {odd[:70]!r}, which is not a valid queue name")
        return value

    @field_validator("label_limits")
    @classmethod
    def _labels(cls, value: dict[str, int]) -> dict[str, int]:
        odd = next((name for name in value if not _is_label(name)), None)
        if odd is not None:
            raise ValueError(f"has {odd[:140]!r}, which is neither key:value nor key:*")
        return value

    @model_validator(mode="after")
    def _lease_outlives_heartbeat(self) -> Self:
        if self.lease_seconds <= self.heartbeat_seconds:
            raise ValueError(
                f"BATON_LEASE_SECONDS ({self.lease_seconds:g}) must be greater than "
                f"BATON_HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}); three times is a good choice"
            )
        return self

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        named = {
            "BATON_TOKEN": self.token,
            "BATON_WORK_TOKEN": self.work_token,
            "BATON_READ_TOKEN": self.read_token,
            "BATON_TUNNEL_TOKEN": self.tunnel_token,
        }
        seen: dict[str, str] = {}
        for name, secret in named.items():
            text = secret.get_secret_value() if secret is not None else None
            if text is not None and text in seen:
                raise ValueError(
                    f"{name} must differ from {seen[text]}, because their scopes differ: make another token"
                )
            if text is not None:
                seen[text] = name
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.tunnel_port is not None and self.tunnel_port == self.port:
            raise ValueError(f"BATON_TUNNEL_PORT ({self.port}) must differ from BATON_PORT: give another one")
        return self

    @property
    def tokens(self) -> list[str]:
        """The secrets of all tokens in the settings."""
        found = (self.token, self.work_token, self.read_token, self.tunnel_token)
        return [one.get_secret_value() for one in found if one is not None]

    @property
    def prefix(self) -> str:
        """The path prefix of links, cookies and assets: empty, or /baton."""
        return root_path_of(self.public_url or "") if self.root_path is None else self.root_path

    @property
    def limits(self) -> Limits:
        """The limits of concurrent attempts."""
        return Limits(self.queue_limits, self.label_limits)

    @property
    def beats(self) -> HeartbeatTimes:
        """The heartbeat and lease settings."""
        return HeartbeatTimes(self.heartbeat_seconds, self.lease_seconds)

    @property
    def secrets(self) -> Secrets:
        """The secrets to redact in the log."""
        urls = (self.database_url, self.redis_url)
        return Secrets([*self.tokens, *map(password_of, urls)])

    @property
    def lost_after(self) -> float:
        """Seconds without a heartbeat after which a worker is shown as lost."""
        return 2 * self.lease_seconds


def _is_label(name: str) -> bool:
    key, _, value = name.partition(":")
    return bool(re.fullmatch(LABEL, key) and (value == ANY or re.fullmatch(LABEL, value)))


def load_settings() -> Settings:
    """The settings of this process. Raises SettingsError."""
    return _load(Settings)


def load_database_url() -> str:
    """The database URL, for a process that needs no other setting. Raises SettingsError."""
    return _load(DatabaseSettings).database_url


def _load(settings: type[_S]) -> _S:
    try:
        return settings()
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
    inside = "".join(f"{part}: " for part in item["loc"][1:])
    return f"{PREFIX}{field.upper()}: {inside}{message}{advice}"
