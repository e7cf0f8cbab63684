"""Credentials of Google Cloud Storage, and signed URLs."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import storage
from google.oauth2 import service_account

from baton.storage import StoreConfigError, open_store
from baton.storage.gcs import GcsStore


def signing_client(monkeypatch: pytest.MonkeyPatch) -> storage.Client:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    info = {"client_email": "baton@example.test", "token_uri": "https://example.test/token", "private_key": pem}
    credentials = service_account.Credentials.from_service_account_info(info)
    return storage.Client(project="p", credentials=credentials)


def test_credentials_that_can_sign_give_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    store = GcsStore("bucket", "pre/fix", client=signing_client(monkeypatch))
    url = store.signed_url("jobs/1/best é.keras", timedelta(hours=1))
    assert url is not None
    assert url.startswith("https://storage.googleapis.com/bucket/pre/fix/jobs/1/best%20%C3%A9.keras?")
    assert "X-Goog-Signature=" in url
    assert "X-Goog-Expires=3600" in url


def test_a_signed_upload_has_its_conditions_in_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    store = GcsStore("bucket", client=signing_client(monkeypatch))
    upload = store.signed_put("a", timedelta(hours=1), if_absent=True, content_type="text/csv", size=5)
    assert upload is not None
    assert upload.create_only
    assert upload.headers == {
        "Content-Type": "text/csv",
        "x-goog-content-length-range": "5,5",
        "x-goog-if-generation-match": "0",
    }
    signed = parse_qs(urlsplit(upload.url).query)["X-Goog-SignedHeaders"]
    assert signed == ["content-type;host;x-goog-content-length-range;x-goog-if-generation-match"]


def test_credentials_that_cannot_sign_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    client = storage.Client.create_anonymous_client()
    assert GcsStore("bucket", client=client).signed_url("a", timedelta(hours=1)) is None


def test_without_credentials_the_message_says_how_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")
    with pytest.raises(StoreConfigError, match="gcloud auth application-default login"):
        open_store("gs://bucket")
