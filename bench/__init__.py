"""Benchmarks, each one command; no time measured here is ever a test."""
