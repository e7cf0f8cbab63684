#!/usr/bin/env bash
# Writes requirements/*.txt from pyproject.toml: exact versions with hashes for every supported platform.
# It writes requirement files with hashes, not uv.lock, because pip reads them too, and they name no package index.
# Arguments go to uv, e.g. `--upgrade` or `--upgrade-package httpx`.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v uv >/dev/null; then UV=(uv); else UV=("${PYTHON:-python3}" -m uv); fi
if ! "${UV[@]}" --version >/dev/null 2>&1; then
  echo "make lock needs uv: install it with 'pip install uv', then repeat." >&2
  exit 2
fi

compile() { # NAME UV-ARGUMENTS...
  local file="requirements/$1.txt"
  shift
  "${UV[@]}" pip compile "${SOURCE:-pyproject.toml}" --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --output-file "$file" "$@"
  echo "$file: $(grep -c '^[a-z]' "$file") packages"
}

compile dev --extra dev --extra build "$@"
# The others use the versions of dev, so that tests cover the installed versions.
compile local --extra cpu --extra embedded --extra build --constraint requirements/dev.txt
compile service --constraint requirements/dev.txt
compile worker-cpu --extra cpu --constraint requirements/dev.txt
compile worker-gpu --extra gpu --constraint requirements/dev.txt
# A lock of only the build backend, for the stage of the Dockerfile that builds Baton's wheel.
sed -n 's/^build = \["\(.*\)", "\(.*\)"\]$/\1\n\2/p' pyproject.toml | SOURCE=- compile build --constraint requirements/dev.txt "$@"
