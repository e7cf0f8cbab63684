"""Crop and pad: crops or pads each side as np.pad and OpenCV's copyMakeBorder do, then resizes as cv2.resize does.

The padded image is never built. An output pixel needs at most two rows and two columns of it. Each of these is a row or
column of the original image, or one that was computed once for the whole border.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from baton.domain.spec.augmenters import CropAndPad
from worker.training.augmentation.device.borders import border, pixels
from worker.training.augmentation.device.random_draws import Choice, Draws, of_images
from worker.training.augmentation.device.summaries import SUMMARIES, summary

# The scale of OpenCV's integer weights for a linear resize (INTER_RESIZE_COEF_BITS).
_WEIGHT = 1 << 11


def crop_and_pad(given: CropAndPad, images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Crops or pads each side of each image by its own number of whole pixels."""
    n, height, width, _ = images.shape
    shares = draws.number(given.percent, n, 4)
    mode, colour = draws.choice(given.pad_mode, n), draws.whole(given.pad_cval, n)
    top, right, bottom, left = (
        tf.cast(tf.round(shares[:, side] * size), tf.int32) for side, size in enumerate((height, width, height, width))
    )
    # imgaug keeps at least one row and one column. With at most 0.45 cropped per side, at most one is missing.
    top, right = top + _none_left(top, bottom, height), right + _none_left(left, right, width)
    rows, columns = _Side(height, top, bottom), _Side(width, left, right)
    enlarged = (rows.padded < height) | (columns.padded < width)
    return _resized(_Framed.of(images, rows, columns, mode, colour), enlarged)


def _none_left(before: tf.Tensor, after: tf.Tensor, size: int) -> tf.Tensor:
    return tf.cast(tf.minimum(before, 0) + tf.minimum(after, 0) + size < 1, tf.int32)


@dataclass(frozen=True)
class _Side:
    """The `size` rows or columns of images. `before`, `after`: int32 [n], the number added or, if negative, cut."""

    size: int
    before: tf.Tensor
    after: tf.Tensor

    @property
    def start(self) -> tf.Tensor:
        """The first row or column that is kept."""
        return tf.maximum(-self.before, 0)

    @property
    def kept(self) -> tf.Tensor:
        """The number of rows or columns that are kept."""
        return self.size + tf.minimum(self.before, 0) + tf.minimum(self.after, 0)

    @property
    def padded(self) -> tf.Tensor:
        """The number of rows or columns after padding, before resizing."""
        return self.size + self.before + self.after

    def inside(self) -> tf.Tensor:
        """Which rows or columns of the image are kept: bool [n, size]."""
        place = tf.range(self.size)
        return (place >= self.start[:, None]) & (place < (self.start + self.kept)[:, None])

    def _source(self, place: tf.Tensor, mode: Choice) -> tf.Tensor:
        start, kept = self.start[:, None], self.kept[:, None]
        index = place - tf.maximum(self.before, 0)[:, None]
        found = start + mode.of([border(index, kept, option) for option in mode.options])
        added = ((index < 0) | (index >= kept)) & mode.among("constant", *SUMMARIES, rank=2)
        return tf.where(added, self.size, found)

    def _ramp(self, place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        before, after = tf.maximum(self.before, 0)[:, None], tf.maximum(self.after, 0)[:, None]
        from_end = self.padded[:, None] - 1 - place
        first, last = place < before, from_end < after
        way = tf.where(first, place, tf.where(last, from_end, 1))
        return way, tf.where(first, before, tf.where(last, after, 1))

    def taps(self, enlarged: tf.Tensor, mode: Choice) -> tuple[_Places, _Places, tf.Tensor]:
        """The two padded rows (or columns) for each output row, and the weight of the second, float32 [n, size]."""
        first, second, share = _between(self, enlarged[:, None])
        both = tf.concat([first, second], axis=1)
        sources, ways, wholes = (tf.split(part, 2, axis=1) for part in (self._source(both, mode), *self._ramp(both)))
        first, second = (_Places(*parts) for parts in zip(sources, zip(ways, wholes, strict=True), strict=True))
        return first, second, share


@dataclass(frozen=True)
class _Places:
    """Rows or columns of the padded images, all int32 [n, size].

    `source`: the index in the image; for the border, the last index plus one; for a ramp, the index of the edge.
    `ramp`: the distance from the outer end, and the distance between end and edge; 1 and 1 if there is no ramp.
    """

    source: tf.Tensor
    ramp: tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class _Framed:
    """Images with one more row and one more column, which contain the border: int32 [n, h + 1, w + 1, 3]."""

    pixels: tf.Tensor
    rows: _Side
    columns: _Side
    mode: Choice
    colour: tf.Tensor

    @classmethod
    def of(cls, images: tf.Tensor, rows: _Side, columns: _Side, mode: Choice, colour: tf.Tensor) -> _Framed:
        """Like np.pad: pads the rows first, then the columns from the padded rows."""
        whole = tf.cast(images, tf.int32)
        whole = tf.concat([whole, _added(whole, rows.inside()[:, :, None, None], mode, colour, axis=1)], axis=1)
        whole = tf.concat([whole, _added(whole, columns.inside()[:, None, :, None], mode, colour, axis=2)], axis=2)
        return cls(whole, rows, columns, mode, of_images(colour))

    def read(self, y: _Places, x: _Places) -> tf.Tensor:
        """The colours int32 [n, h, w, 3] of the padded images."""
        found = pixels(self.pixels, y.source[:, :, None], x.source[:, None, :])
        if "linear_ramp" not in self.mode.options:
            return found
        found = self._ramped(found, *(part[:, :, None, None] for part in y.ramp))
        return self._ramped(found, *(part[:, None, :, None] for part in x.ramp))

    def _ramped(self, edge: tf.Tensor, way: tf.Tensor, whole: tf.Tensor) -> tf.Tensor:
        ramp = self.colour + tf.math.floordiv((edge - self.colour) * way, whole)
        return tf.where(self.mode.among("linear_ramp", rank=4), ramp, edge)


def _added(values: tf.Tensor, kept: tf.Tensor, mode: Choice, colour: tf.Tensor, axis: int) -> tf.Tensor:
    """The border along `axis`, one row or column of int32 values. Not used by modes that repeat pixels."""
    plain = of_images(colour) + tf.zeros_like(tf.gather(values, [0], axis=axis))
    return mode.of([summary(name, values, kept, axis) if name in SUMMARIES else plain for name in mode.options])


def _resized(framed: _Framed, enlarged: tf.Tensor) -> tf.Tensor:
    """The image resized to its original size, uint8, in OpenCV's arithmetic: weights of 11 bits, 4 bits dropped."""
    (top, bottom, y), (left, right, x) = (side.taps(enlarged, framed.mode) for side in (framed.rows, framed.columns))
    x_weights, y_weights = _weights(x[:, None, :, None]), _weights(y[:, :, None, None])
    rows = [
        tf.bitwise.right_shift(framed.read(row, left) * x_weights[0] + framed.read(row, right) * x_weights[1], 4)
        for row in (top, bottom)
    ]
    total = tf.add_n([tf.bitwise.right_shift(row * weight, 16) for row, weight in zip(rows, y_weights, strict=True)])
    return tf.cast(tf.clip_by_value(tf.bitwise.right_shift(total + 2, 2), 0, 255), tf.uint8)


def _weights(share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tuple(tf.cast(tf.round(part * _WEIGHT), tf.int32) for part in (1.0 - share, share))


def _between(side: _Side, enlarged: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The two padded rows around each output row, int32 [n, size], and its distance beyond the first, float32.

    Columns are computed in the same way. `enlarged`: bool [n, 1], whether a side must grow. imgaug then uses
    INTER_AREA, which OpenCV computes as a linear interpolation between other positions than INTER_LINEAR.
    """
    growth = side.size / tf.cast(side.padded, tf.float64)[:, None]
    scale, place = 1.0 / growth, tf.range(side.size, dtype=tf.float64)
    area = tf.floor(place * scale)
    beyond = tf.cast(place + 1.0 - (area + 1.0) * growth, tf.float32)
    middle = tf.cast((place + 0.5) * scale - 0.5, tf.float32)
    first = tf.where(enlarged, tf.cast(area, tf.float32), tf.floor(middle))
    share = tf.where(enlarged, tf.where(beyond <= 0, 0.0, beyond - tf.floor(beyond)), middle - tf.floor(middle))
    last = side.padded[:, None] - 1
    first = tf.cast(first, tf.int32)
    share = tf.where((first < 0) | (first >= last), 0.0, share)
    first = tf.clip_by_value(first, 0, last)
    return first, tf.minimum(first + 1, last), share
