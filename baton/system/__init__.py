"""The machine: CPUs, GPUs, control groups, cache folders, locks between processes."""
