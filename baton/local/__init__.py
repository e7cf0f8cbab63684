"""The local stack: Redis, service and workers as child processes of `baton up`, with one data directory."""
