"""Training batches: order of the images, augmentation on the host, prefetch, upload to the device."""
