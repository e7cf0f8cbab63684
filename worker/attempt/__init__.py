"""One attempt: claim, restore, train, hand over, under a lease and a fencing token."""
