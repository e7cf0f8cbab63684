#!/bin/sh
# Prints the path of a Python with JAX and Keras, for tests: jax.sh PYTHON. If it is missing, pip of PYTHON, which also
# decides the version of Python, installs them from PyPI into a virtual environment in the user's cache (about 550 MB).
version=0.10.2
keras=3.15.1
python="${1:?the path of a Python with pip}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/jax-$version-keras-$keras-python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi

# Several test runs may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/jax-new.XXXXXX")
echo "installing JAX $version and Keras $keras into $home" >&2
# pip would compile all modules; the import compiles those that the tests need.
if "$python" -m venv --without-pip "$new" >&2 && "$python" -m pip --python "$new/bin/python" install --quiet \
    --disable-pip-version-check --no-input --no-compile --only-binary :all: "jax==$version" "keras==$keras" >&2 &&
    PYTHONDONTWRITEBYTECODE= KERAS_BACKEND=jax "$new/bin/python" -c 'import jax.numpy, keras' >&2; then
  [ -e "$home" ] || mv "$new" "$home"
fi
rm -rf "$new"
if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi
echo "pip could not install jax==$version and keras==$keras; see above." >&2
exit 2
