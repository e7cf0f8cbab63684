#!/bin/sh
# Prints the first Python that Baton runs on. Says what to install when there is none.
for candidate in "$@" python3.13 python3.12 python3.11 python3; do
  if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    >/dev/null 2>&1; then
    # An own path instead of a version manager's stand-in, whose answer can change with the folder.
    exec "$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))'
  fi
done

found=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null)
if [ -n "$found" ] && python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
  echo "Python $found has no venv module: on Debian and Ubuntu install it with 'apt install python3-venv', then repeat." >&2
else
  echo "Baton needs Python 3.11, 3.12 or 3.13 (found: ${found:-none}). Install one, or name it: make PYTHON=/path/to/python3.12" >&2
fi
exit 2
