"""`python -m baton.cli` runs `baton`."""

from baton.cli import main

main()
