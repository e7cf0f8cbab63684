"""The report of a job. A separate process, which does not import TensorFlow, makes it while training continues."""
