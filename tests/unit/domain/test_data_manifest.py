"""The manifest of pushed data."""

from __future__ import annotations

import zlib

import pytest

from baton.domain.data_manifest import (
    PACK_BYTES,
    DataFile,
    DataManifest,
    InvalidManifest,
    Pack,
    cuts,
    packs_of,
)

ONE = DataFile("a", 1, "0" * 64)


@pytest.mark.parametrize(
    ("files", "packs", "words"),
    [
        ((ONE, ONE), (Pack("1" * 64, 2),), "sorted by path"),
        ((ONE, DataFile("a/b", 1, "0" * 64)), (Pack("1" * 64, 2),), "both a file and a folder"),
        ((DataFile("../a", 1, "0" * 64),), (Pack("1" * 64, 1),), "plain relative path"),
        ((DataFile("a" * 256, 1, "0" * 64),), (Pack("1" * 64, 1),), "longer than"),
        ((DataFile("a", 1, "0" * 63),), (Pack("1" * 64, 1),), "64 lower-case"),
        ((ONE,), (Pack("1" * 64, 2),), "as many bytes"),
        ((DataFile("a", 3, "0" * 64),), (Pack("1" * 64, 1), Pack("1" * 64, 2)), "two sizes"),
        ((ONE,), (Pack("1" * 64, PACK_BYTES + 1),), "a pack 1 to"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    files: tuple[DataFile, ...], packs: tuple[Pack, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        DataManifest(kind="folder", files=files, packs=packs)


def test_what_cannot_be_read_is_refused_in_one_line() -> None:
    manifest = DataManifest(kind="folder", files=(ONE,), packs=(Pack("1" * 64, 1),)).encode()
    assert packs_of(manifest) == (Pack("1" * 64, 1),)
    for data, words in (
        (manifest[:-5], "is cut"),
        (b"{}", "cannot be read"),
        (zlib.compress(b'{"kind": "folder"}'), "files: Field required"),
        (zlib.compress(b" " * 2_000), "Invalid JSON"),
    ):
        for read in (DataManifest.decode, packs_of):
            with pytest.raises(InvalidManifest) as raised:
                read(data)
            assert "\n" not in str(raised.value)
        with pytest.raises(InvalidManifest, match=words):
            DataManifest.decode(data)
    with pytest.raises(InvalidManifest, match="more than 100 bytes"):
        DataManifest.decode(manifest, 100)


def test_a_new_file_changes_few_packs() -> None:
    """The packs before the new file, and the packs after the next cut, stay the same."""
    files = [(f"{k:05}.png", 5_000) for k in range(5_000)]

    def contents(names: list[tuple[str, int]]) -> set[tuple[str, ...]]:
        return {tuple(names[index][0] for index, _, _ in pack) for pack in cuts(names)}

    before, after = contents(files), contents(sorted([*files, ("02500-new.png", 5_000)]))
    assert len(before) > 10
    assert len(after - before) == 1
