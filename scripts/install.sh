#!/usr/bin/env bash
# Creates .venv from a lock file: install.sh local|dev. Uses uv if it is installed, else pip.
set -euo pipefail
cd "$(dirname "$0")/.."

lock="${1:?which lock: local or dev}"
venv="${VENV:-.venv}"

say() { echo "==> $*"; }

usable() { "$venv/bin/python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null; }

find_uv() {
  if command -v uv >/dev/null; then
    UV=(uv)
  elif "${PYTHON:-python3}" -m uv --version >/dev/null 2>&1; then
    UV=("${PYTHON:-python3}" -m uv)
  else
    UV=()
  fi
}

make_venv() {
  usable && return
  local python
  python="$(sh scripts/find-python.sh ${PYTHON:+"$PYTHON"})"
  say "making $venv with $python"
  rm -rf "$venv"
  "$python" -m venv "$venv"
}

install() {
  if [ "${#UV[@]}" -gt 0 ]; then
    "${UV[@]}" pip install --quiet --python "$venv/bin/python" "$@"
  else
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
  fi
}

find_uv
make_venv
say "installing requirements/$lock.txt into $venv with ${UV[*]:-pip} (the first time this fetches about 600 MB)"
install --require-hashes --no-deps --requirement "requirements/$lock.txt"
# Remove a release before 0.2: it was a distribution with another name, `baton`.
rm -rf "$venv"/lib/python*/site-packages/baton-0.1.0.dist-info "$venv"/lib/python*/site-packages/_editable_impl_baton.pth
# The build backend is in the lock file, so nothing else is fetched here.
install --no-deps --no-build-isolation --editable .

# dev includes all of local, so an installed dev is enough for both.
touch "$venv/.installed-$lock"
if [ "$lock" = dev ]; then touch "$venv/.installed-local"; fi
