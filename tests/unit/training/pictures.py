"""Small data sets of real image files."""

from pathlib import Path

import numpy as np
from PIL import Image

WNIDS = ("n02", "n01", "n03")


def picture(seed: int, *, size: int = 64, channels: int = 3) -> Image.Image:
    """A smooth random picture, which JPEG changes little."""
    shape = (4, 4, 3) if channels == 3 else (4, 4)
    small = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BILINEAR)


def save(image: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, quality=95)


def image_folder(root: Path, *, classes: tuple[str, ...] = ("ant", "bee"), each: int = 10) -> Path:
    for label, name in enumerate(classes):
        for k in range(each):
            save(picture(100 * label + k), root / name / f"{k:02}.jpg")
    return root


def tiny_imagenet(root: Path, *, each: int = 10, val: int = 2) -> Path:
    """Three classes in the official layout. The first image of each is grayscale, like 1.8 % of the real images."""
    for label, wnid in enumerate(sorted(WNIDS)):
        for k in range(each):
            image = picture(100 * label + k, channels=3 if k else 1)
            save(image, root / "train" / wnid / "images" / f"{wnid}_{k}.JPEG")
    rows = [(f"val_{k}.JPEG", sorted(WNIDS)[k % 3]) for k in range(3 * val)]
    for k, (file, _) in enumerate(rows):
        save(picture(900 + k), root / "val" / "images" / file)
    (root / "val" / "val_annotations.txt").write_text("".join(f"{f}\t{w}\t0\t0\t62\t62\n" for f, w in rows))
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tbee\nn99\tnothing\n")
    return root
