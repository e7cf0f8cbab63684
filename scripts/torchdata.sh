#!/bin/sh
# Prints a folder with torchdata, for PYTHONPATH of the Python that torch.sh prints: torchdata.sh PYTHON. If it is missing,
# pip of PYTHON installs it from PyPI into the user's cache (1 MB), without what it needs: that is in the other Python.
version=0.11.0
python="${1:?the path of a Python with pip}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/torchdata-$version"

if [ -e "$home" ]; then echo "$home"; exit 0; fi

# Several test runs may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/torchdata-new.XXXXXX")
if "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-compile --no-deps \
    --only-binary :all: --target "$new" "torchdata==$version" >&2; then
  [ -e "$home" ] || mv "$new" "$home"
fi
rm -rf "$new"
if [ -e "$home" ]; then echo "$home"; exit 0; fi
echo "pip could not install torchdata==$version; see above." >&2
exit 2
