"""Packs the folder of a program into a code bundle, and sends it."""
