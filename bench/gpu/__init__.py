"""`python -m bench.gpu`: what both networks train at on this machine's GPU, and what is lost on the way."""
