#!/bin/sh
# Prints the path of a Python with packages, for tests: python-with.sh PYTHON MODULES PACKAGE==VERSION... If it is missing,
# pip of PYTHON, which also decides the version of Python, installs the packages from PyPI into a virtual environment in
# the user's cache. MODULES: what `import` must find in it.
python="${1:?the path of a Python with pip}"
modules="${2:?the modules to import}"
shift 2
cache="${XDG_CACHE_HOME:-$HOME/.cache}/baton-tests"
home="$cache/$(echo "$*" | tr ' ' '-')-python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi

# Several test runs may do this at once: each installs into its own folder, and the first folder is kept.
mkdir -p "$cache"
new=$(mktemp -d "$cache/new.XXXXXX")
echo "installing $* into $home" >&2
# pip would compile all modules; the import compiles those that the tests need.
if "$python" -m venv --without-pip "$new" >&2 && "$python" -m pip --python "$new/bin/python" install --quiet \
    --disable-pip-version-check --no-input --no-compile --only-binary :all: "$@" >&2 &&
    PYTHONDONTWRITEBYTECODE= "$new/bin/python" -c "import $modules" >&2; then
  [ -e "$home" ] || mv "$new" "$home"
fi
rm -rf "$new"
if [ -e "$home" ]; then echo "$home/bin/python"; exit 0; fi
echo "pip could not install $*; see above." >&2
exit 2
