"""Describes the differences between two states of a data set: counts and some examples of each kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from baton.domain.data_identity import PARTS, DataIdentity, DataRecord, DataTable, FileTable, within

EXAMPLES = 5
_NOT_LISTED = "the data differs; the checkpoint does not list the files, so the differences are not known"


def what_changed(before: DataRecord, now: DataIdentity) -> str | None:
    """The differences as text. None if the data is the same."""
    if before.digest == now.digest:
        return None
    then = before.read_table()
    if then is None:
        return _NOT_LISTED
    here = now.table(listed=then.files is not None)
    return "; ".join(changes(then, here)) or _NOT_LISTED


def changes(before: DataTable, now: DataTable) -> list[str]:
    """Each kind of difference as a phrase, such as `1 class renamed: cat -> lion`."""
    if before.files is not None and now.files is not None:
        return list(_by_file(_Sorted.of(before, before.files), _Sorted.of(now, now.files))) or _orders(before, now)
    return list(_by_class(before, now))


@dataclass(frozen=True)
class _File:
    """One file. `inner`: its name within its class."""

    name: str
    inner: str
    digest: str
    part: str


@dataclass(frozen=True)
class _Sorted:
    """The files of each class, by their name within the class."""

    classes: dict[str, dict[str, _File]]

    @classmethod
    def of(cls, table: DataTable, files: FileTable) -> _Sorted:
        """The files of a table."""
        found: dict[str, dict[str, _File]] = {name: {} for name in table.classes}
        for name, label, part, digest in zip(files.names, files.labels, files.parts, files.digests, strict=True):
            of_class = table.classes[label]
            inner = within(name, of_class)
            found[of_class][inner] = _File(name, inner, digest, part)
        return cls(found)


def _by_file(before: _Sorted, now: _Sorted) -> Iterator[str]:
    pairs = _counterparts(before, now)
    yield from _class_phrases(before, now, pairs)
    removed, added, altered, kept = _files(before, now, pairs)
    moved = _moved(removed, added)
    gone, come = {a.name for a, _ in moved}, {b.name for _, b in moved}
    yield from _phrase("file", "renamed or moved", [f"{a.name} -> {b.name}" for a, b in moved])
    yield from _phrase("file", "added", [file.name for file in added if file.name not in come])
    yield from _phrase("file", "removed", [file.name for file in removed if file.name not in gone])
    yield from _phrase("file", "altered", altered)
    other_part = [f"{b.name} ({PARTS[a.part]} -> {PARTS[b.part]})" for a, b in kept if a.part != b.part]
    yield from _phrase("image", "in another part of the split", other_part)


def _counterparts(before: _Sorted, now: _Sorted) -> dict[str, str]:
    """For each old class: the new class with most of its images, or else the new class with the same name."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, files in now.classes.items():
        for file in files.values():
            places[file.inner, file.digest].append(name)
    found: dict[str, str] = {}
    votes = {
        name: Counter(place for file in files.values() for place in places.get((file.inner, file.digest), ()))
        for name, files in before.classes.items()
    }
    # Prefer the class with the same name: several classes may hold the same images.
    for name, files in before.classes.items():
        if 2 * votes[name][name] > len(files):
            found[name] = name
    for name, files in before.classes.items():
        best = [place for place, count in votes[name].most_common() if 2 * count > len(files)]
        free = [place for place in best if place not in found.values()]
        if name not in found and free:
            found[name] = free[0]
    for name in before.classes:
        if name not in found and name in now.classes and name not in found.values():
            found[name] = name
    return found


def _class_phrases(before: _Sorted, now: _Sorted, pairs: Mapping[str, str]) -> Iterator[str]:
    renamed = {a: b for a, b in pairs.items() if a not in now.classes and b not in before.classes}
    changed = [f"{a} -> {b}" for a, b in pairs.items() if a != b and a not in renamed]
    removed = [name for name in before.classes if name not in now.classes and name not in renamed]
    added = [name for name in now.classes if name not in before.classes and name not in renamed.values()]
    yield from _phrase("class", "renamed", [f"{a} -> {b}" for a, b in renamed.items()])
    yield from _phrase("class", "whose images are in another class now", changed)
    yield from _phrase("class", "added", [_with_count(name, len(now.classes[name])) for name in added])
    yield from _phrase("class", "removed", [_with_count(name, len(before.classes[name])) for name in removed])


def _files(
    before: _Sorted, now: _Sorted, pairs: Mapping[str, str]
) -> tuple[list[_File], list[_File], list[str], list[tuple[_File, _File]]]:
    """For classes that exist before and now: files removed, added and altered, and the files present in both."""
    removed, added, altered, kept = [], [], [], []
    for a, b in pairs.items():
        old, new = before.classes[a], now.classes[b]
        removed += [file for inner, file in old.items() if inner not in new]
        added += [file for inner, file in new.items() if inner not in old]
        kept += [(file, new[inner]) for inner, file in old.items() if inner in new]
        altered += [new[inner].name for inner, file in old.items() if inner in new and new[inner].digest != file.digest]
    return removed, added, altered, kept


def _moved(removed: Sequence[_File], added: Sequence[_File]) -> list[tuple[_File, _File]]:
    """Removed files that appear again with the same content under another name."""
    by_content: dict[str, list[_File]] = defaultdict(list)
    for file in reversed(added):
        by_content[file.digest].append(file)
    return [(file, by_content[file.digest].pop()) for file in removed if by_content[file.digest]]


def _orders(before: DataTable, now: DataTable) -> list[str]:
    if before.classes != now.classes:
        return ["the classes have another order"]
    return ["the images have another order"] if before.files != now.files else []


def _by_class(before: DataTable, now: DataTable) -> Iterator[str]:
    old, new = _contents(before), _contents(now)
    renamed = {a: b for a in old for b in new if a not in new and b not in old and old[a] == new[b]}
    removed = [name for name in old if name not in new and name not in renamed]
    added = [name for name in new if name not in old and name not in renamed.values()]
    other = [name for name in old if name in new and old[name] != new[name]]
    yield from _phrase("class", "renamed", [f"{a} -> {b}" for a, b in renamed.items()])
    yield from _phrase("class", "added", [_with_count(name, new[name][0]) for name in added])
    yield from _phrase("class", "removed", [_with_count(name, old[name][0]) for name in removed])
    yield from _phrase("class", "with other images", [f"{n} ({old[n][0]} images -> {new[n][0]})" for n in other])
    for part in dict.fromkeys((*before.parts, *now.parts)):
        a, b = before.parts.get(part, (0, "")), now.parts.get(part, (0, ""))
        if a != b:
            yield f"split: other images in {part} ({a[0]} -> {b[0]})"


def _contents(table: DataTable) -> dict[str, tuple[int, str]]:
    return dict(zip(table.classes, zip(table.counts, table.contents, strict=True), strict=True))


def _with_count(name: str, images: int) -> str:
    return f"{name} ({images} {_plural('image', images)})"


def _phrase(what: str, how: str, found: Sequence[str]) -> Iterator[str]:
    if found:
        more = f" and {len(found) - EXAMPLES} more" if len(found) > EXAMPLES else ""
        yield f"{len(found)} {_plural(what, len(found))} {how}: {', '.join(found[:EXAMPLES])}{more}"


def _plural(what: str, count: int) -> str:
    return what if count == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
