"""DataLoaders as sources of batches that can be given again from any position."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from baton.adapters.batch_source import BatchSource
from baton.program.errors import ProgramError
from baton.torch.by_index import ByIndex
from baton.torch.in_order import ByReplay, ByState


def loader_source(loader: Any, seed: int) -> BatchSource:
    """The batches of this loader.

    Raises:
        ProgramError: it is no DataLoader and has no state, or it is a DataLoader without a length.
    """
    if has_states(loader) and not _is_stateful_without_need(loader):
        return ByState(loader, seed)
    if not isinstance(loader, DataLoader):
        raise ProgramError(
            f"batches: a {type(loader).__qualname__} cannot be resumed. Pass a DataLoader, a loader with state_dict() "
            "and load_state_dict(), or baton.data.batches(...), which takes most kinds of data"
        )
    if isinstance(loader.dataset, IterableDataset):
        return ByReplay(loader, seed)
    return ByIndex(loader, seed)


def has_states(one: Any) -> bool:
    """Whether it has a state that can be read and loaded."""
    return callable(getattr(one, "state_dict", None)) and callable(getattr(one, "load_state_dict", None))


def _is_stateful_without_need(loader: Any) -> bool:
    """Whether it is a StatefulDataLoader of torchdata that can be read by index, which needs no state.

    After its state is loaded, some samplers give later epochs in another order, and its workers draw other numbers.
    """
    if type(loader).__module__.partition(".")[0] != "torchdata" or not isinstance(loader, DataLoader):
        return False
    samplers = (loader.batch_sampler, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    stateful = [one for one in samplers if has_states(one) and not hasattr(one, "set_epoch")]
    return not isinstance(loader.dataset, IterableDataset) and not stateful and not has_states(loader.dataset)
