"""`python -m bench.gpu`: the training speed of both networks on this machine's GPU, and where the time goes."""
