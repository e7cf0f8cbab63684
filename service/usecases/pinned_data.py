"""Which objects of pushed data an attempt may read: the manifest that its spec pins, and the packs of that manifest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any

from baton.domain.data_manifest import manifest_object, pack_object, packs_of
from baton.domain.data_reference import DataReference
from baton.domain.lenient_reading import mapping
from baton.storage import BlobStore

FIELD = "dataset.data"
KEPT = 32
"""Manifests whose packs are kept in memory. A data set of 1 TB has about 65,000 packs, which need about 10 MB."""
_packs: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
_lock = Lock()


def references(spec: Mapping[str, Any]) -> dict[str, str]:
    """The pushed data that a stored spec names: the path of the field, and NAME or NAME@sha256:DIGEST.

    >>> references({"dataset": {"name": "image-folder", "data": "photos"}})
    {'dataset.data': 'photos'}
    >>> references({"program": {"command": ["x"]}, "data": {"train": "photos", "words": "corpus"}})
    {'data.train': 'photos', 'data.words': 'corpus'}
    """
    found = {FIELD: mapping(spec.get("dataset")).get("data")}
    found |= {f"data.{name}": reference for name, reference in mapping(spec.get("data")).items()}
    return {field: reference for field, reference in found.items() if isinstance(reference, str)}


def pins(spec: Mapping[str, Any]) -> list[str]:
    """The digests of the data that a stored spec pins.

    >>> pins({"dataset": {"name": "image-folder", "data": "photos@sha256:" + "0" * 64}}) == ["0" * 64]
    True
    >>> pins({"dataset": {"name": "digits"}})
    []
    """
    found = (_digest(reference) for reference in references(spec).values())
    return [digest for digest in found if digest is not None]


def _digest(reference: str) -> str | None:
    try:
        return DataReference.parse(reference).digest
    except ValueError:
        return None


def hold(store: BlobStore, digests: Collection[str], object_name: str) -> bool:
    """Whether the object is the manifest with one of these digests, or one of the packs of these manifests.

    Raises the errors of BlobStore.get, and InvalidManifest.
    """
    if object_name in map(manifest_object, digests):
        return True
    if not object_name.startswith(pack_object("")):
        return False
    return any(object_name in _objects(store, digest) for digest in digests)


def _objects(store: BlobStore, digest: str) -> frozenset[str]:
    key = (store.url, digest)
    with _lock:
        known = _packs.get(key)
    if known is None:  # several threads may read it at the same time, because their results are equal
        known = frozenset(pack_object(pack.sha256) for pack in packs_of(store.get(manifest_object(digest))))
    with _lock:
        _packs[key] = known
        _packs.move_to_end(key)
        while len(_packs) > KEPT:
            _packs.popitem(last=False)
    return known
