"""Lists folders with images: the images, the subfolders, and the files that are not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from worker.ipc.progress import advanced
from worker.training.data.failures import bad_data
from worker.training.data.formats import is_image
from worker.training.data.left_out import LeftOut

JUNK_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})
"""Names, in lower case, of folders that operating systems create next to users' files."""

JUNK_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
MAX_DEPTH = 20


@dataclass(frozen=True)
class Folder:
    """The visible entries of a folder, sorted. `linked`: the subfolders that are links. `others`: files by suffix."""

    path: Path
    images: tuple[str, ...]
    subfolders: tuple[str, ...]
    linked: frozenset[str]
    others: Counter[str]

    @classmethod
    def of(cls, path: Path) -> Folder:
        """Reads a folder. Hidden entries, and files that operating systems make, are left out without a message.

        Raises:
            JobFailure: bad_data, the folder cannot be read.
        """
        advanced()
        images, subfolders, linked, others = [], [], set(), Counter[str]()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith("."):
                        continue
                    if _is_folder(entry):
                        if name.lower() not in JUNK_FOLDERS:
                            subfolders.append(name)
                            linked |= {name} if entry.is_symlink() else set()
                    elif is_image(name):
                        images.append(name)
                    elif name.lower() not in JUNK_FILES:
                        others[PurePath(name).suffix.lower()] += 1
        except OSError as error:
            bad_data(f"{path}: cannot be read: {error.strerror}")
        return cls(path, tuple(sorted(images)), tuple(sorted(subfolders)), frozenset(linked), others)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # for example, a link that leads to itself: the later read of the image reports it


def class_files(path: Path, *, nested: bool = False) -> tuple[list[Path], LeftOut]:
    """The image files of a class's folder in sorted order, and the files that are left out.

    `nested`: also the images of its subfolders. Subfolders that are links are not followed.

    Raises:
        JobFailure: bad_data, the folder has no images, or cannot be read.
    """
    top = Folder.of(path)
    inner = list(_below(top))
    within = [top, *inner] if nested else [top]
    files = [folder.path / name for folder in within for name in folder.images]
    left_out = LeftOut(
        suffixes=sum((folder.others for folder in within), Counter[str]()),
        in_subfolders=0 if nested else sum(len(folder.images) for folder in inner),
    )
    if not files:
        hint = f" ({'; '.join(left_out.lines())})" if left_out.total else ""
        bad_data(f"{path}: a class without images{hint}; add images, or remove the folder")
    return sorted(files, key=lambda file: file.parts) if nested else files, left_out


def _below(folder: Folder) -> Iterator[Folder]:
    for name in folder.subfolders:
        if name not in folder.linked:
            inner = Folder.of(folder.path / name)
            yield inner
            yield from _below(inner)


def content_root(path: Path) -> Path:
    """The folder that contains the classes. Descends through folders that contain one subfolder and no images.

    Other files next to that subfolder, such as a README, do not matter. The folder that is returned contains at least
    one subfolder, unless `path` itself has none.
    """
    for _ in range(MAX_DEPTH):
        here = Folder.of(path)
        if len(here.subfolders) != 1 or here.images or here.linked:
            break
        inner = path / here.subfolders[0]
        if not Folder.of(inner).subfolders:
            break
        path = inner
    return path
