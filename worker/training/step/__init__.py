"""The compiled training step and all that touches the device."""
