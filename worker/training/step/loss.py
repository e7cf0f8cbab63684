"""The loss that training minimises (cross-entropy on the logits), and the number of correct answers."""

from __future__ import annotations

import keras
import tensorflow as tf


class Loss:
    """Loss and answers of one network. Images: uint8 or float 0..255 [n, h, w, 3]; labels: int32 [n].

    The cross-entropy is computed from the logits, which avoids the rounding of the softmax. The network has a layer
    `logits`.
    """

    def __init__(self, network: keras.Model) -> None:
        self._network = network
        self._scorer = keras.Model(network.inputs, network.get_layer("logits").output)

    def training(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean loss with the regularisation, and the number of correct answers."""
        logits = self._scorer(_scaled(images), training=True)
        loss = tf.reduce_mean(_cross_entropy(labels, logits)) + self._regularisation()
        return loss, tf.reduce_sum(_correct(labels, logits))

    def evaluation(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Sums over images with these weights, float [n]: loss and correct answers; and float32 logits [n, classes]."""
        logits = self._scorer(_scaled(images), training=False)
        loss = tf.reduce_sum(weights * _cross_entropy(labels, logits)) + tf.reduce_sum(weights) * self._regularisation()
        return loss, tf.reduce_sum(weights * _correct(labels, logits)), tf.cast(logits, tf.float32)

    def _regularisation(self) -> tf.Tensor:
        losses = self._network.losses
        return tf.add_n(losses) if losses else tf.constant(0.0)


def _scaled(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255.0


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))


def _correct(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels), tf.float32)
