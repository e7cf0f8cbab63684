#!/bin/sh
# Prints the path of a Python with JAX, Keras, Flax and Optax, for tests: jax.sh PYTHON. See python-with.sh (about 700 MB).
KERAS_BACKEND=jax exec "${0%/*}/python-with.sh" "${1:?the path of a Python with pip}" flax.linen,keras,optax \
  jax==0.10.2 keras==3.15.1 flax==0.12.8 optax==0.2.8
