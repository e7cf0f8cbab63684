"""docs/reference/settings.md from the settings classes of service and worker."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from scripts.reference.markdown import code, field_docs, page, table
from scripts.reference.schema import default, fields, shape
from service.settings import Settings
from worker.settings import WorkerSettings

INTRODUCTION = """
All environment variables that Baton reads. An invalid one ends the start with a line that names it. Times are in
seconds. Queues, `--poll` and `--once` of a worker are options: [command line](command-line.md#baton-worker).
"""
COMMAND_LINE = (
    ("BATON_URL", "that of `baton up` in this folder", "address of the service"),
    ("BATON_TOKEN", "that of `baton up` in this folder", "the token to send"),
)
OF_OTHERS = (
    ("GOOGLE_APPLICATION_CREDENTIALS", "Google's library", "a key file, if the machine has no service account"),
    ("STORAGE_EMULATOR_HOST", "Google's library", "an emulator of Cloud Storage, such as `http://127.0.0.1:4443`"),
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
        f"## Variables of other programs\n\n{others}",
    )


def _table(settings: type[BaseSettings]) -> str:
    schema = settings.model_json_schema()
    docs, required = field_docs(settings), schema.get("required", [])
    rows = [
        (f"`BATON_{name.upper()}`", shape(one), default(one, name in required), docs[name])
        for name, one in fields(schema).items()
    ]
    return table(("variable", "values", "default", "meaning"), rows)
