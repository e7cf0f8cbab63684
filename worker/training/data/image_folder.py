"""One folder per class: path/<class>/*.jpg, the classes numbered in sorted order of their names."""

from __future__ import annotations

from baton.domain.spec import DatasetSpec
from worker.training.data.listing import Listing, entries, image_files, kept_classes, of_files, root_of


def listing(spec: DatasetSpec) -> Listing:
    """The images of the kept classes, each class's files in sorted order."""
    root = root_of(spec)
    folders = [entry.name for entry in entries(root) if entry.is_dir() and not entry.name.startswith(".")]
    names = kept_classes(spec, folders, str(root))
    return of_files(tuple(names), [image_files(root / name)[: spec.per_class] for name in names], [], root=root)
