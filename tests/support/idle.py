"""`python -m tests.support.idle`: a process that does nothing until it is killed or its parent closes its input."""

import sys

sys.stdin.read()
