"""Targets of notifications and the way to them, by Apprise."""
