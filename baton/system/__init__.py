"""Access to the machine: CPUs, GPUs, control groups, cache folders, locks between processes."""
