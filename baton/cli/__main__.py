"""`python -m baton.cli` is `baton`, for when the script is not at hand."""

from baton.cli import main

main()
