"""docs/reference/settings.md from the settings classes of service and worker."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from scripts.reference.markdown import code, field_docs, page, table
from scripts.reference.program import variables
from scripts.reference.schema import default, fields, shape
from service.settings import Settings
from worker.settings import WorkerSettings

INTRODUCTION = """
All environment variables that Baton reads. An invalid value ends the start with an error that names the variable. Times
are in seconds. Queues, `--poll` and `--once` of a worker are options: [command line](command-line.md#baton-worker).
"""
COMMAND_LINE = (
    ("BATON_URL", "that of `baton up` in this folder", "address of the service"),
    ("BATON_TOKEN", "that of `baton up` in this folder", "the token to send"),
    ("BATON_PROJECT", "all", "the [project](../how-to/teams.md) in which an administrator acts"),
)
OF_OTHERS = (
    ("GOOGLE_APPLICATION_CREDENTIALS", "Google's library", "a key file, if the machine has no service account"),
    ("STORAGE_EMULATOR_HOST", "Google's library", "an emulator of Cloud Storage, such as `http://127.0.0.1:4443`"),
    ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "obstore", "credentials for a store on S3"),
    ("AWS_REGION, AWS_ENDPOINT_URL", "obstore", "where the store on S3 is; see [stores](../how-to/stores.md)"),
    ("AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY", "obstore", "account and key of a store on Azure"),
    ("AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_ENDPOINT", "obstore", "see [stores](../how-to/stores.md)"),
    ("FORWARDED_ALLOW_IPS", "uvicorn", "trusted proxies of the service if `BATON_FORWARDED_ALLOW_IPS` is not set"),
    ("HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE", "httpx", "[proxies and certificates](../how-to/workers-without-redis.md)"),
    ("CUDA_VISIBLE_DEVICES", "CUDA", "which GPUs a worker sees"),
    ("XDG_CACHE_HOME", "Baton", "parent folder of the default of `BATON_CACHE`; `~/.cache`"),
    ("BATON_AZURE_METADATA, GCE_METADATA_HOST, AWS_EC2_METADATA_SERVICE_ENDPOINT", "Baton", "other metadata servers"),
)


def settings_page() -> str:
    """The page."""
    line = table(("variable", "default", "meaning"), [(code(name), *rest) for name, *rest in COMMAND_LINE])
    rows = [(", ".join(map(code, names.split(", "))), *rest) for names, *rest in OF_OTHERS]
    others = table(("variable", "read by", "meaning"), rows)
    return page(
        "Settings",
        INTRODUCTION,
        f"## Command line and SDK\n\n{line}",
        f"## Service\n\n{_table(Settings)}",
        f"## Worker\n\n{_table(WorkerSettings)}",
        f"## Training programs\n\n{variables()}",
        f"## Variables of other programs\n\n{others}",
    )


def _table(settings: type[BaseSettings]) -> str:
    schema = settings.model_json_schema()
    docs: dict[str, str] = {}
    required, known = schema.get("required", []), fields(schema)
    for part in settings.__mro__[: settings.__mro__.index(BaseSettings)]:  # own fields come before those of a base
        docs.update(field_docs(part))
    rows = [
        (f"`BATON_{name.upper()}`", shape(known[name]), default(known[name], name in required), text)
        for name, text in docs.items()
        if name in known
    ]
    return table(("variable", "values", "default", "meaning"), rows)
