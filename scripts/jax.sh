#!/bin/sh
# Prints the path of a Python with JAX, Keras, Flax and Optax, for tests: jax.sh PYTHON. If it is missing, pip of PYTHON,
# which also decides the version of Python, installs them from PyPI into a virtual environment in the user's cache (about
# 700 MB).
version=0.10.2
keras=3.15.1
flax=0.12.8
optax=0.2.8
python="${1:?the path of a Python with pip}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/jax-$version-keras-$keras-flax-$flax-python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi

# Several test runs may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/jax-new.XXXXXX")
echo "installing JAX $version, Keras $keras and Flax $flax into $home" >&2
# pip would compile all modules; the import compiles those that the tests need.
if "$python" -m venv --without-pip "$new" >&2 && "$python" -m pip --python "$new/bin/python" install --quiet \
    --disable-pip-version-check --no-input --no-compile --only-binary :all: "jax==$version" "keras==$keras" \
    "flax==$flax" "optax==$optax" >&2 &&
    PYTHONDONTWRITEBYTECODE= KERAS_BACKEND=jax "$new/bin/python" -c 'import flax.linen, keras, optax' >&2; then
  [ -e "$home" ] || mv "$new" "$home"
fi
rm -rf "$new"
if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi
echo "pip could not install jax==$version, keras==$keras, flax==$flax and optax==$optax; see above." >&2
exit 2
