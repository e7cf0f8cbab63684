#!/bin/sh
# Prints the path of a Python with Hugging Face's `datasets`, for tests: datasets.sh PYTHON. If it is missing, pip of
# PYTHON, which also decides the version of Python, installs it from PyPI into a virtual environment in the user's cache
# (about 400 MB).
version=5.2.0
python="${1:?the path of a Python with pip}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/datasets-$version-python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi

# Several test runs may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/datasets-new.XXXXXX")
echo "installing datasets $version into $home" >&2
# pip would compile all modules; the import compiles those that the tests need.
if "$python" -m venv --without-pip "$new" >&2 && "$python" -m pip --python "$new/bin/python" install --quiet \
    --disable-pip-version-check --no-input --no-compile --only-binary :all: "datasets==$version" >&2 &&
    PYTHONDONTWRITEBYTECODE= "$new/bin/python" -c 'import datasets' >&2; then
  [ -e "$home" ] || mv "$new" "$home"
fi
rm -rf "$new"
if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi
echo "pip could not install datasets==$version; see above." >&2
exit 2
