"""Which files look like secrets. They are never packed: everyone who may read a job's worker can read its code.

A file is known by its name, or by a private key at its beginning. Certificates have the same endings as keys (.pem,
.crt), so for those the content decides.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

HEAD_BYTES = 16 << 10
"""How much of a file `secret_in` looks at."""

NAMES = (
    ".env", ".env.*", ".envrc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".git-credentials",
    ".htpasswd", ".vault-token", ".terraformrc", ".dockercfg", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.p12",
    "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.tfstate", "*.tfstate.backup", "kubeconfig", "credentials",
    "credentials.json", "client_secret*.json", "service-account*.json", "service_account*.json",
    "application_default_credentials.json", "secrets.json", "secrets.yaml", "secrets.yml", "secrets.toml",
    "kaggle.json",
)  # fmt: skip
EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist")
"""Names that match NAMES, but stand for files without secrets."""
FOLDERS = (".ssh", ".aws", ".gnupg", ".azure", ".kube", ".gcloud", ".docker")

_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_SERVICE_ACCOUNT = re.compile(rb'"private_key"\s*:\s*"-----BEGIN')


def secret_by_name(path: str) -> bool:
    """Whether a file with this relative path looks like a secret.

    >>> [secret_by_name(path) for path in ("a/.env", ".env.example", ".ssh/config", "train.py")]
    [True, False, True, False]
    """
    *folders, name = path.lower().split("/")
    if name in EXAMPLES:
        return False
    return any(folder in FOLDERS for folder in folders) or any(fnmatchcase(name, pattern) for pattern in NAMES)


def secret_in(head: bytes) -> bool:
    """Whether the first HEAD_BYTES of a file hold a private key."""
    return _KEY.search(head) is not None or _SERVICE_ACCOUNT.search(head) is not None
