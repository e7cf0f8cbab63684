"""Reads an iterable from a place that its own states give, where it has states."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from baton.adapters.random_states import seeded
from baton.adapters.state_files import as_json, from_json
from baton.data.sources import is_a
from baton.program.errors import ProgramError

LARGEST_STATE = 2**18
"""Bytes of a state as JSON. A cursor, which may have two of them, has at most 1 MiB."""
TENSOR = "a torch tensor"
"""The first member of a tuple that stands for a tensor in a stored state."""


def restores_itself(source: Any) -> bool:
    """Whether the source has states, as the loaders of torchdata and the iterable data sets of Hugging Face."""
    return hasattr(source, "state_dict") and hasattr(source, "load_state_dict")


def has_states(source: Any) -> bool:
    """Whether the source or its iterators are known to have states."""
    return restores_itself(source) or is_a(source, "grain", "IterDataset") or is_a(source, "grain", "DataLoader")


def depends_on_epochs_before(source: Any) -> bool:
    """Whether an epoch may depend on how often the source was read before, as far as can be known.

    It does not if the source is told the epoch. A DataLoader of torch without a generator of its own takes its order
    from the generators of the process, which `Reading` seeds for each batch.
    """
    if not hasattr(source, "__iter__") or hasattr(source, "set_epoch") or has_states(source):
        return False
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.utils.data.DataLoader):
        samplers = (source, source.sampler, getattr(source.batch_sampler, "sampler", None))
        return any(getattr(one, "generator", None) is not None for one in samplers)
    return True


def copied(source: Any) -> Any:
    """A copy that has its own attributes, with the same values.

    `copy.copy` is not enough: that of an iterable data set of Hugging Face has the very same dictionary of attributes.
    """
    if not hasattr(source, "__dict__"):
        return copy.copy(source)
    new = object.__new__(type(source))
    new.__dict__.update(vars(source))
    return new


class Reading:
    """The items of one epoch of a source, in groups.

    `state`: where to begin, as `state` returned it; None for the beginning. What the source draws from the generators
    of the process is a function of the seed, the epoch and the number of the group.

    Raises:
        ProgramError: the source can be read only once.
    """

    def __init__(self, source: Any, epoch: int, seed: int, *, group: int, size: int, state: Any = None) -> None:
        self._source, self._place, self._group, self._size = source, (seed, epoch), group, size
        with seeded("open", *self._place):
            if hasattr(source, "set_epoch"):
                source.set_epoch(epoch)
            if state is not None and restores_itself(source):
                source.load_state_dict(_with_tensors(from_json(state)))
            items = source if hasattr(source, "__iter__") else source(epoch)
            self._items: Iterator[Any] = iter(items)
            if items is source and self._items is source:
                raise ProgramError(
                    "source: an iterator can be read only once. Pass what makes it: an iterable, or a function of the "
                    "epoch that returns an iterator"
                )
            if state is not None and not restores_itself(source):
                _setter(self._items)(_with_tensors(from_json(state)))

    @property
    def has_states(self) -> bool:
        """Whether `state` gives any."""
        return restores_itself(self._source) or _setter(self._items) is not _no_state

    def state(self) -> Any:
        """Where the next group begins, as JSON.

        Raises:
            ProgramError: the state has values that cannot be stored, or is too large.
        """
        found = self._source.state_dict() if restores_itself(self._source) else _getter(self._items)()
        state = as_json(_without_tensors(found), "the state of the source")
        if (size := len(json.dumps(state))) > LARGEST_STATE:
            raise ProgramError(f"the state of the source has {size:,} bytes, more than {LARGEST_STATE:,}")
        return state

    def next_group(self) -> list[Any]:
        """The next items: as many as a group has, fewer at the end of the epoch, none behind it."""
        with seeded("batch", *self._place, self._group):
            self._group += 1
            return list(islice(self._items, self._size))

    def close(self) -> None:
        """Close the iterator, which may have threads or processes."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()


def _no_state(*_: Any) -> None:
    """In place of the method that an iterator without states lacks."""


def _getter(iterator: Any) -> Callable[[], Any]:
    found: Callable[[], Any] = getattr(iterator, "get_state", getattr(iterator, "state_dict", _no_state))
    return found


def _setter(iterator: Any) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = getattr(iterator, "set_state", getattr(iterator, "load_state_dict", _no_state))
    return found


def _without_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_tensors(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_without_tensors, value)) if type(value) in (list, tuple) else value
    return (TENSOR, value.cpu().numpy()) if type(value).__module__ == "torch" else value


def _with_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tensors(one) for key, one in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and value[0] == TENSOR:
        import torch

        return torch.from_numpy(value[1])
    return type(value)(map(_with_tensors, value)) if isinstance(value, list | tuple) else value
