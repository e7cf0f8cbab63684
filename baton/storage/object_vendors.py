"""What differs between S3 and Azure Blob Storage: URLs, settings, limits, and the next step in messages."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, S3Store

from baton.storage.errors import StoreConfigError

Client = S3Store | AzureStore

_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 60.0
_RETRIES = 10
_GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """Seconds for one request, and for the library's retries of it after transient errors."""

    request: float
    retries: float

    @classmethod
    def of(cls, deadline: float, request: float = _REQUEST_SECONDS) -> "Limits":
        """The limits of a store in which a call may take about `deadline` seconds."""
        return cls(min(request, deadline), deadline / 2)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of an obstore client."""
        backoff = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=8), "base": 2}
        return {
            "client_options": {
                "timeout": timedelta(seconds=self.request),
                "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, self.request)),
            },
            "retry_config": {
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=self.retries),
                "backoff": backoff,
            },
        }


@dataclass(frozen=True)
class Vendor:
    """One kind of object storage."""

    scheme: str
    product: str
    bucket_pattern: str
    bucket_allowed: str
    create: str
    """The command that makes a bucket; {bucket} is its name."""
    login: str
    """How to give credentials."""
    permission: str
    """Which permissions are needed."""
    endpoints: tuple[str, ...]
    """Environment variables with the URL of a server. The first one that is set is used."""
    place: str
    """Settings that say where the bucket is."""
    connect: Callable[[str, dict[str, Any]], Client] = field(repr=False)
    most_copied: int | None = None
    """The largest object, in bytes, that one request copies."""
    most_put: int = 5 * _GIB
    """The largest object, in bytes, that one request stores."""
    signs_escaped: bool = True
    """Whether the library's signatures are valid for names that a URL escapes."""
    put_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that a signed upload must send."""

    def client(self, bucket: str, limits: Limits) -> Client:
        """Return a client of the bucket. Makes no request. Raises StoreConfigError."""
        options = limits.options
        for name in self.endpoints:
            if url := os.environ.get(name):
                options["client_options"]["allow_http"] = _checked_endpoint(name, url) == "http"
                break
        return self.connect(bucket, options)


def _checked_endpoint(name: str, url: str) -> str:
    """Return the scheme. Raises StoreConfigError unless it is a URL, because the library would panic."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise StoreConfigError(f"{name} is not a URL; write https://host or http://host:port.")
    return parts.scheme


def _s3(bucket: str, options: dict[str, Any]) -> Client:
    # One DELETE for each object works on every server. The request that deletes many objects does not.
    bulk: dict[str, Any] = {} if os.environ.get("AWS_DISABLE_BULK_DELETE") else {"disable_bulk_delete": True}
    return S3Store(bucket, **bulk, **options)


def _azure(container: str, options: dict[str, Any]) -> Client:
    return AzureStore(container, **_from_azure_cli(), **options)


def _from_azure_cli() -> dict[str, Any]:
    """The variables of the command `az` whose names the library does not know."""
    names = {
        "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
        "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"),
    }
    return {
        key: os.environ[other]
        for key, (known, other) in names.items()
        if os.environ.get(other) and not os.environ.get(known)
    }


S3 = Vendor(
    scheme="s3",
    product="S3",
    bucket_pattern=r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    bucket_allowed="3 to 63 lower-case letters, digits, '-' and '.'",
    create="aws s3 mb s3://{bucket}",
    login=(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (files of the command `aws` are not read; "
        '`eval "$(aws configure export-credentials --format env)"` sets both), or give the machine a role'
    ),
    permission="allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects",
    endpoints=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    place="AWS_REGION, and AWS_ENDPOINT_URL for another server than Amazon's",
    connect=_s3,
    most_copied=5 * _GIB,
)

AZURE = Vendor(
    scheme="az",
    product="Azure Blob Storage",
    bucket_pattern=r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    bucket_allowed="3 to 63 lower-case letters, digits and single '-'",
    create="az storage container create --name {bucket}",
    login=(
        "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or give the machine "
        "a managed identity"
    ),
    permission="assign the role Storage Blob Data Contributor on the container",
    endpoints=("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    place="AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ENDPOINT for another server",
    connect=_azure,
    most_put=5000 * 2**20,
    signs_escaped=False,
    put_headers={"x-ms-blob-type": "BlockBlob"},
)

VENDORS = {vendor.scheme: vendor for vendor in (S3, AZURE)}
