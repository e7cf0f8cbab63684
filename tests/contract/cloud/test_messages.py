"""How the adapter reports errors of the vendors, and the advice in these reports. The tests use no server."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from baton.storage import StoreConfigError, StoreError, StoreFull, StoreUnavailable, open_store
from baton.storage.object_errors import Translator
from baton.storage.object_vendors import AZURE, S3

HTTP = (
    "Generic S3 error: Error performing PUT https://h/b/a?sig=topsecret in 9ms - Server returned non-2xx status code: "
)
TOKEN = "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1ms"


def answer(status: str, code: str = "", message: str = "") -> str:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return f"{HTTP}{status}: {body}"


CASES = [
    (PermissionDeniedError(answer("403 Forbidden", "RequestTimeTooSkewed", "far")), StoreConfigError, "its clock"),
    (
        GenericError(answer("400 Bad", "AuthorizationHeaderMalformed", "want eu-1")),
        StoreConfigError,
        "eu-1.*AWS_REGION",
    ),
    (GenericError(answer("301 Moved", "PermanentRedirect", "use that")), StoreConfigError, "AWS_REGION"),
    (PermissionDeniedError(answer("403 Forbidden", "AccessDenied", "no")), StoreConfigError, "Denied.*s3:PutObject"),
    (UnauthenticatedError(answer("401 Unauthorized")), StoreConfigError, "No permission"),
    (GenericError(answer("507 Insufficient", "XMinioStorageFull", "full")), StoreFull, "Make room"),
    (GenericError(answer("503 Slow Down", "SlowDown", "slower")), StoreUnavailable, "503.*SlowDown"),
    (GenericError(answer("400 Bad Request", "EntityTooLarge", "big")), StoreError, "400.*EntityTooLarge"),
    (GenericError("Generic S3 error: error sending request"), StoreUnavailable, "Check the network"),
    (GenericError(f"{TOKEN} - HTTP error"), StoreConfigError, "no credentials.*AWS_ACCESS_KEY_ID"),
    (GenericError(f"{TOKEN} - Server returned non-2xx status code: 503 busy"), StoreUnavailable, "503"),
]


@pytest.mark.parametrize(("error", "kind", "text"), CASES, ids=range(len(CASES)))
def test_the_message_names_the_next_step(error: Exception, kind: type[StoreError], text: str) -> None:
    with pytest.raises(StoreError, match=text) as caught, Translator("s3://bucket/x", S3).translated("a"):
        raise error
    assert type(caught.value) is kind
    assert "topsecret" not in f"{caught.value} {caught.value.__cause__}"


def test_settings_that_cannot_work_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*S3.endpoints, *AZURE.endpoints, "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreConfigError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        open_store("az://container")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "account")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "not base64!")
    with pytest.raises(StoreConfigError, match="AZURE_STORAGE_ACCOUNT_KEY"):
        open_store("az://container")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(StoreConfigError, match="AWS_SECRET_ACCESS_KEY"):
        open_store("s3://bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    with pytest.raises(StoreConfigError, match="AWS_ENDPOINT_URL is not a URL"):
        open_store("s3://bucket")
