#!/bin/sh
# Prints the path of a Python with a current PyTorch for CPUs and torchdata, for tests: torch-cpu.sh PYTHON. See
# python-with.sh (about 900 MB). PyPI has only the build for GPUs, which is five times as large: pip needs PyTorch's index
# for CPUs, as PIP_EXTRA_INDEX_URL or in its configuration.
# Exit status 3: pip knows no such build.
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"${0%/*}/python-with.sh" "${1:?the path of a Python with pip}" torch._dynamo,torchdata.stateful_dataloader \
  torch==2.13.0+cpu torchdata==0.11.0 numpy 2>"$said"
status=$?
cat "$said" >&2
if [ $status -ne 0 ] && grep -q 'No matching distribution found for torch==' "$said"; then
  echo "set PIP_EXTRA_INDEX_URL to PyTorch's index for CPUs" >&2
  exit 3
fi
exit $status
