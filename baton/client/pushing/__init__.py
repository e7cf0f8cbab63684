"""Pushes data to the service: finds the files, computes their digests, sends the packs that the service lacks."""
