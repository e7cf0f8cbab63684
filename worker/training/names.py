"""Names of what TensorFlow traces that hang on the program alone, so that another process finds what was compiled.

TensorFlow numbers its functions in the order in which a process traces them, and a compiled program is looked up by
those names: a run that is resumed in its second stage, or while it validates, traces in another order than its first
process did.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tensorflow.python.framework import ops

_FUNCTIONS_BITS = 20
_uses: Counter[str] = Counter()


@contextmanager
def stable_names(program: str) -> Iterator[None]:
    """Numbers what this thread traces from a start that `program` gives; the same program again gets another.

    The numbers are of no concern to anything else: they only keep names apart, in 2**40 rows of 2**20.
    """
    _uses[program] += 1
    digest = hashlib.sha256(f"{program} {_uses[program]}".encode()).digest()
    numbers, tracer, usual = count(int.from_bytes(digest[:5]) << _FUNCTIONS_BITS), threading.get_ident(), ops.uid
    ops.uid = lambda: next(numbers) if threading.get_ident() == tracer else usual()
    try:
        yield
    finally:
        ops.uid = usual
