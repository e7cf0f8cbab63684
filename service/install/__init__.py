"""The files with which a machine becomes a worker: the service's own wheel, its lock files, and a script."""
