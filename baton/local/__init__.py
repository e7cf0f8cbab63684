"""The embedded stack: Redis, service and workers as child processes of `baton up`, in one data directory."""
