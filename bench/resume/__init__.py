"""`make bench-resume`: what several ways to resume a training cost and repeat, under the same kills."""
