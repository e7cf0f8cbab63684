#!/bin/sh
# Prints the path of a Python for Baton: the one in the argument, else the first of the usual names.
# If there is no such Python, it prints what to install.
[ $# -gt 0 ] || set -- python3.13 python3.12 python3.11 python3

version_fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
for candidate in "$@"; do
  if "$candidate" -c "import venv, ensurepip; $version_fits" >/dev/null 2>&1; then
    # Print the real path: in another folder, a version manager's shim could start another Python.
    exec "$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))'
  fi
done

for candidate in "$@"; do
  found=$("$candidate" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
  if "$candidate" -c "$version_fits" 2>/dev/null; then
    echo "$candidate ($found) has no venv module: on Debian and Ubuntu install it with 'apt install python3-venv', then repeat." >&2
    exit 2
  fi
done
echo "Baton needs Python 3.11, 3.12 or 3.13 (found: ${found:-none}). Install one, or set its path: make PYTHON=/path/to/python3.12" >&2
exit 2
