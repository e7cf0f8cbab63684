"""The compiled training step and everything that uses the device."""
