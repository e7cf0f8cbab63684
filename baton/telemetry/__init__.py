"""What tells from outside what a process does: its log and its traces. Shared by service and worker."""
