"""`python -m worker.training`: the training process of a worker. Only the worker starts it."""

from worker.attempt.process import serve
from worker.training.process import tensorflow

if __name__ == "__main__":
    serve(tensorflow)
