"""One of several processes that write the same name at the same moment: `python -m ... URL NAME CONTENT`."""

import sys

from baton.storage import AlreadyExists, open_store

url, name, content = sys.argv[1:]
store = open_store(url)
store.check()
print("ready", flush=True)
sys.stdin.readline()
try:
    store.put(name, content.encode(), if_absent=True)
    print("won")
except AlreadyExists:
    print("lost")
