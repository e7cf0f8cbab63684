"""Python SDK and the `baton` command line."""

from client.api import BatonClient
from client.errors import ApiError, ClientError, Unreachable
from client.job import Job

__all__ = ["ApiError", "BatonClient", "ClientError", "Job", "Unreachable"]
