"""Logs and traces of a process. Shared by service and worker."""
