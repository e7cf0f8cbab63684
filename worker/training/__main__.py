"""`python -m worker.training`: the training process of a worker. The worker starts it; people do not."""

from worker.training.process import serve

if __name__ == "__main__":
    serve()
