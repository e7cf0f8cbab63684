"""The use cases. Each takes a unit of work, changes rows and writes events. They are independent of HTTP and Redis."""
