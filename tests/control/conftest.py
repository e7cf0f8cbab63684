"""The service in this process, for records of real jobs without waiting."""

from tests.service.conftest import api, redis_server, settings, start, template

__all__ = ["api", "redis_server", "settings", "start", "template"]
