"""The configured notification targets, and sending to them by Apprise."""
