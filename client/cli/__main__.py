"""`python -m client.cli` is `baton`, for when the script is not at hand."""

from client.cli import main

main()
