"""Authentication: API tokens, browser sessions, and tokens of attempts."""
