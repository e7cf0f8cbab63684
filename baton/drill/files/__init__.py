"""Reads the files of two runs as named leaves: arrays, values, lines, bytes. It needs no framework and runs no code."""
