"""Benchmarks, one command each. No test depends on a time that is measured here."""
