"""The compiled training step: select the images, augment them, forward, loss, gradients, update, running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from baton.domain.spec import AugmentationSpec
from worker.training.augmentation.device import NOTHING, DeviceAugment, build_device
from worker.training.step.inputs import Rows, Share, source_of
from worker.training.step.loss import Loss
from worker.training.step.records import Records, labels_of, picked_by, rate_of, seed_of
from worker.training.step.reordered_augmentation import Reordered
from worker.training.step.replicas import Replicas, one_of

Policy = str | AugmentationSpec | None


@dataclass(frozen=True)
class _Program:
    """`step`: the compiled step. `before`: the augmentation that runs before the step, if it cannot be a part of it."""

    step: Any
    before: Reordered | None = None


class TrainStep:
    """Updates a network's variables. `xla`: whether XLA compiles the steps.

    `sums`: the sums of loss, correct answers and images. `finite`: images trained while the sum of the loss was finite.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        sums: tf.Variable,
        finite: tf.Variable,
        *,
        replicas: Replicas,
        xla: bool,
    ) -> None:
        self._network, self._optimizer = network, optimizer
        self._sums, self._finite = sums, finite
        self._replicas, self._xla = replicas, xla
        self._objective = Loss(network)
        self._programs: dict[tuple[Policy, bool], _Program] = {}

    def step(self, shares: Sequence[Share], records: Records) -> None:
        """One update. May return before the device has finished it. `records`: one for each share."""
        program = self._program(shares[0])
        given = zip(self._replicas.devices, shares, records, strict=True)
        images = [self._images(program, k, *one) for k, one in enumerate(given)]
        program.step(*self._replicas.spread([*zip(images, records, strict=True)]))

    def _program(self, share: Share) -> _Program:
        key = share.change.augmentation if share.change else None, isinstance(share.images, Rows)
        if key not in self._programs:
            self._programs[key] = self._make_program(*key)
        return self._programs[key]

    def _make_program(self, policy: Policy, picks: bool) -> _Program:
        augment = build_device(policy or "none")
        if augment.order is None:
            return _Program(self._make(augment, picks=picks))
        return _Program(self._make(NOTHING, picks=False), Reordered(augment, picks=picks, xla=self._xla))

    def _images(self, program: _Program, number: int, device: str, share: Share, record: tf.Tensor) -> tf.Tensor:
        """The image argument of the step on a device. `number`: the number of the device."""
        with tf.device(device):
            images = source_of(share.images, number)
            if program.before is None or share.change is None:
                return images
            return program.before(images, record, share.change.seed)

    def _make(self, augment: DeviceAugment, *, picks: bool) -> Any:
        """Makes the programs. `picks`: the step gets all images in device memory and selects the batch."""

        def gradients(images: Any, record: Any) -> tuple[Any, ...]:
            images = picked_by(record, images) if picks else images
            return self._gradients(augment(images, seed_of(record)), labels_of(record, images.shape[0]))

        if self._replicas.count > 1:
            # XLA compiles only the part that each device does alone: one program cannot use variables of two devices.
            alone = tf.function(gradients, jit_compile=self._xla, autograph=False)
            return tf.function(self._shared_step(alone), autograph=False)

        def step(images: tf.Tensor, record: tf.Tensor) -> None:
            self._optimizer.learning_rate.assign(rate_of(record))
            self._update(*gradients(images, record))

        return tf.function(step, jit_compile=self._xla, autograph=False)

    def _gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients of the batch's loss from this device's share of the images, and the sums of the share."""
        variables = [v.value for v in self._network.trainable_variables]
        with tf.GradientTape() as tape:
            loss, correct = self._objective.training(images, labels)
            shared = loss / self._replicas.count if self._replicas.count > 1 else loss
        count = tf.cast(tf.shape(labels)[0], tf.float64)
        sums = tf.stack([tf.cast(loss, tf.float64) * count, tf.cast(correct, tf.float64), count])
        return tape.gradient(shared, variables), sums

    def _update(self, gradients: list[tf.Tensor], sums: tf.Tensor) -> None:
        self._optimizer.apply(gradients, self._network.trainable_variables)
        self._sums.assign_add(sums)
        # When the sum of the loss is nan or inf, it stays nan or inf. The counter shows at which step that began.
        loss, _, images = tf.unstack(self._sums.read_value())
        self._finite.assign(tf.where(tf.math.is_finite(loss), images, self._finite.read_value()))

    def _shared_step(self, gradients: Any) -> Callable[..., None]:
        def one(images: Any, record: Any) -> None:
            self._update(*gradients(images, record))  # Keras adds up the gradients of all devices
            self._replicas.average(self._network.non_trainable_variables)

        def step(images: Any, record: Any) -> None:
            self._optimizer.learning_rate.assign(rate_of(one_of(record)))
            self._replicas.run(one, (images, record))

        return step
