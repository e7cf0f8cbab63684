"""The trainer for image classifiers, with Keras on TensorFlow."""
