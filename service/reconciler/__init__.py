"""What happens by itself: leases expire, messages go to Redis, files are published, what nobody needs is deleted."""
