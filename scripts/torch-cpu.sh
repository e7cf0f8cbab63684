#!/bin/sh
# Prints the path of a Python with a current PyTorch for CPUs, for tests: torch-cpu.sh PYTHON. If it is missing, pip of
# PYTHON, which also decides the version of Python, installs it into a virtual environment in the user's cache (about
# 900 MB). PyPI has only the build for GPUs, which is five times as large: pip needs PyTorch's index for CPUs, as
# PIP_EXTRA_INDEX_URL or in its configuration.
# Exit status 3: pip knows no such build; it prints why.
version=2.13.0+cpu
data=0.11.0
python="${1:?the path of a Python with pip}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/torch-$version-data-$data-python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi

# Several test runs may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/torch-new.XXXXXX")
trap 'rm -rf "$new"' EXIT
echo "installing PyTorch $version into $home" >&2
"$python" -m venv --without-pip "$new" >&2 || exit 2
# pip would compile all modules; the import compiles those that the tests need.
if "$python" -m pip --python "$new/bin/python" install --quiet --disable-pip-version-check --no-input --no-compile \
    --only-binary :all: "torch==$version" "torchdata==$data" numpy >"$new/pip.log" 2>&1; then
  PYTHONDONTWRITEBYTECODE= "$new/bin/python" -c 'import torch._dynamo, torchdata.stateful_dataloader' >&2 || exit 2
  chmod 755 "$new"
  [ -e "$home" ] || mv "$new" "$home"
  echo "$home/bin/python"
  exit 0
fi
if grep -q 'No matching distribution found for torch==' "$new/pip.log"; then
  echo "pip has no torch==$version: set PIP_EXTRA_INDEX_URL to PyTorch's index for CPUs" >&2
  exit 3
fi
cat "$new/pip.log" >&2
exit 2
