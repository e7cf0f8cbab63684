"""Overwrites one object forever, each time with another byte, until it is killed: `python -m ... URL NAME SIZE`."""

import itertools
import sys

from baton.storage import open_store

url, name, size = sys.argv[1:]
store = open_store(url)
for value in itertools.cycle(range(256)):
    store.put(name, bytes([value]) * int(size))
