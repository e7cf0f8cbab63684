"""The compiled training step: pick the images, augment them, forward, loss, gradients, update, running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from core.domain.spec import AugmentationSpec
from worker.training.augmentation.device import build_device
from worker.training.inputs import Change, Images, Labels, fed, picked
from worker.training.objective import Objective
from worker.training.replicas import Replicas

Policy = str | AugmentationSpec | None


class Learner:
    """Updates a network's variables. `xla`: whether it compiles the steps.

    `sums`: of loss, correct answers and images. `finite`: images in the steps up to which the loss sum is finite.
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
        self._objective = Objective(network)
        self._steps: dict[Policy, Any] = {}

    def step(self, images: Images, labels: Labels, rate: float, change: Change | None) -> None:
        """One update, which is only begun where a device computes it."""
        policy = change.augmentation if change else None
        if policy not in self._steps:
            self._steps[policy] = self._make(build_device(policy or "none"))
        arguments = [fed(share, device) for device, share in enumerate(self._replicas.shares(images, labels, change))]
        self._steps[policy](tf.constant(rate, tf.float32), *self._replicas.spread(arguments))

    def _make(self, augment: Callable[..., tf.Tensor]) -> Any:
        def gradients(images: Any, rows: Any, seed: Any, labels: Any) -> tuple[Any, ...]:
            return self._gradients(augment(picked(images, rows), seed), labels)

        if self._replicas.count > 1:
            # XLA compiles what each device does alone; variables of two devices do not go into one program.
            alone = tf.function(gradients, jit_compile=self._xla, autograph=False)
            return tf.function(self._shared_step(alone), autograph=False)

        def step(rate: tf.Tensor, *arguments: Any) -> None:
            self._optimizer.learning_rate.assign(rate)
            self._update(*gradients(*arguments))

        return tf.function(step, jit_compile=self._xla, autograph=False)

    def _gradients(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Of the whole batch's loss as far as this device's share of the images goes; and the share's sums."""
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
        # Once the loss sum is nan or inf it stays so. The counter shows at which step that began.
        loss, _, images = tf.unstack(self._sums.read_value())
        self._finite.assign(tf.where(tf.math.is_finite(loss), images, self._finite.read_value()))

    def _shared_step(self, gradients: Any) -> Callable[..., None]:
        def one(*arguments: Any) -> None:
            self._update(*gradients(*arguments))  # Keras adds up the gradients of all devices
            self._replicas.average(self._network.non_trainable_variables)

        def step(rate: tf.Tensor, *arguments: Any) -> None:
            self._optimizer.learning_rate.assign(rate)
            self._replicas.run(one, arguments)

        return step
