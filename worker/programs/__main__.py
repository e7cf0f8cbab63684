"""`python -m worker.programs`: the process that runs a program. Only the worker starts it."""

from worker.attempt.process import serve
from worker.programs.process import programs

if __name__ == "__main__":
    serve(programs)
