"""The asynchronous client. Its modules are generated from those of the synchronous one."""
