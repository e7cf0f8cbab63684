#!/bin/sh
# Prints the path of a Python with Hugging Face's `datasets`, for tests: datasets.sh PYTHON. See python-with.sh (about
# 400 MB).
exec "${0%/*}/python-with.sh" "${1:?the path of a Python with pip}" datasets datasets==5.2.0
