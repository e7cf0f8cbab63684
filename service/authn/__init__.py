"""Who asks, and whether that can be believed: tokens, sessions of browsers, tokens of attempts."""
