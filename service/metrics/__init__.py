"""Metrics for Prometheus: counters of this process, and numbers that a scrape reads from the database."""
