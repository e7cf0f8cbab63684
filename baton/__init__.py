"""Python SDK and the `baton` command line."""

from baton.client.client import BatonClient
from baton.client.errors import ApiError, ClientError, Unreachable
from baton.client.job import Job

__all__ = ["ApiError", "BatonClient", "ClientError", "Job", "Unreachable"]
