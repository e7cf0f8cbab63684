"""The network, its optimizer and the compiled steps: everything that uses the device."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from baton.domain.errors import JobFailure
from baton.domain.goodput import Bucket, Stopwatch
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from worker.attempt.protocols import STEPS_AHEAD
from worker.checkpointing.snapshot import Arrays
from worker.training.environment import compiles, use_deterministic_ops
from worker.training.evaluation import TOP, Answers, joined
from worker.training.state.throughput import Pace
from worker.training.step.batch import Batch
from worker.training.step.device_cache import DeviceCache, training_devices
from worker.training.step.fitting_state import Taken, take_fitting
from worker.training.step.inputs import Change, Held, Images, Labels, filled_up, picked, tensors
from worker.training.step.loss import Loss
from worker.training.step.networks import build_network
from worker.training.step.optimizers import make_optimizer
from worker.training.step.records import Records
from worker.training.step.replicas import Replicas, one_of
from worker.training.step.train_step import TrainStep
from worker.training.step.uploads import Uploads

PENDING_SECONDS = 0.2
"""Limit of the pending work on a device, because a stop waits for it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """Means over images. `loss` includes the regularisation, as Keras reports it."""

    loss: float
    accuracy: float


def deterministic_ops(spec: JobSpec, *, on_gpu: bool) -> bool:
    """Whether TensorFlow must use deterministic operations only. "auto": on CPUs, where they cost nothing.

    On a GPU they double the time of a step. For an exact resume on a GPU, the checkpoints contain XLA's autotuning
    results instead.
    """
    return not on_gpu if spec.deterministic == "auto" else spec.deterministic


class Engine:
    """Trains and evaluates one network. Images are uint8 [n, h, w, 3] or rows in device memory, labels int32 [n].

    `watch` measures the time of compilation. `xla`: "on", "off" or "auto". `devices`: where steps run; None: all.
    `steps_ahead`: the number of steps whose inputs are copied to the devices together.
    """

    def __init__(
        self,
        spec: JobSpec,
        classes: int,
        watch: Stopwatch | None = None,
        *,
        xla: str = "auto",
        devices: Sequence[str] | None = None,
        steps_ahead: int = STEPS_AHEAD,
    ) -> None:
        begun = time.monotonic()
        self._watch, self._compiled = watch or Stopwatch(time.monotonic), set[tuple[Any, ...]]()
        keras.utils.clear_session()  # names that Keras generates are part of the state, so their numbers must restart
        keras.utils.set_random_seed(spec.seed)
        devices = devices or training_devices()
        self.on_gpu, compiled = devices[0].startswith("GPU"), compiles(xla)
        if deterministic_ops(spec, on_gpu=self.on_gpu):
            use_deterministic_ops(compiled=compiled)
        self.replicas = Replicas(devices)
        self._uploads, self._pace = Uploads(self.replicas, steps_ahead, self._finish_steps), Pace(PENDING_SECONDS)
        with self.replicas.scope():
            self._build(spec, classes)
        self._device_cache = DeviceCache(devices) if self.on_gpu or spec.augmentation_engine == "device" else None
        self._train_step = TrainStep(
            self.network, self._optimizer, self._train_sums, self._finite_images, replicas=self.replicas, xla=compiled
        )
        self._objective = Loss(self.network)
        self._evaluate = tf.function(self._evaluate_step, jit_compile=compiled, autograph=False)
        log.info("built the network in %.2f s", time.monotonic() - begun)

    def _build(self, spec: JobSpec, classes: int) -> None:
        self.network = build_network(spec, classes)
        self._optimizer = make_optimizer(spec.optimizer)
        self._optimizer.build(self.network.trainable_variables)
        # Sums over the current epoch: the loss, the number of correct answers, the number of images.
        self._train_sums = tf.Variable(np.zeros(3), dtype=tf.float64, aggregation=tf.VariableAggregation.SUM)
        # Not part of the state: it can be computed from the sums.
        self._finite_images = tf.Variable(0.0, dtype=tf.float64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

    @property
    def rate(self) -> float:
        """The current learning rate of the optimizer."""
        return float(self._optimizer.learning_rate.value.numpy())

    @rate.setter
    def rate(self, value: float) -> None:
        self._optimizer.learning_rate.assign(value)

    @property
    def draws(self) -> bool:
        """Whether training steps select and augment their images on the device."""
        return self._device_cache is not None

    def hold(self, images: npt.NDArray[np.uint8]) -> Held | None:
        """The same images, uint8 [n, h, w, 3], in device memory. None if they do not fit: pass them batch by batch."""
        return self._device_cache.hold(images) if self._device_cache else None

    def hold_only(self, *images: npt.NDArray[np.uint8]) -> tuple[str, ...]:
        """Keeps these arrays and no others in device memory, in this order, as far as they fit.

        Returns a text for each array that stays in host memory.
        """
        if not self._device_cache:
            return ()
        self._device_cache.keep_only(*images)
        for array in images:
            self._device_cache.hold(array)
        return self._device_cache.left_out

    def ahead(self, batches: Iterable[Batch], rates: Iterable[float]) -> Iterator[Batch]:
        """The batches, with records if their images are in device memory. `rates`: the learning rate of each.

        Consumes up to `steps_ahead` batches and rates before it yields the first one.
        """
        return self._uploads.ahead(batches, rates)

    def train_step(
        self,
        images: Images,
        labels: Labels,
        rate: float,
        change: Change | None = None,
        records: Records | None = None,
    ) -> None:
        """One update of all variables. `change`: the augmentation that the step applies to the images.

        `records`: from `ahead`, for the same labels, rate and change; None: they are copied now.
        On a GPU the step may still be running when this returns; `wait` waits for it.
        """
        with self._compiling("step", images, change.augmentation if change else None):
            shares = self.replicas.shares(images, labels, change)
            self._train_step.step(shares, records or self._uploads.one(shares, rate))
        self._pace.begin()
        if self._pace.full:
            self.wait()

    def wait(self) -> None:
        """Waits until the device has finished all steps."""
        one_of(self._train_sums).numpy()
        self._pace.waited()

    def _finish_steps(self) -> None:
        """Waits for pending steps. The time counts as training."""
        with self._watch.measure(Bucket.TRAINING):
            self.wait()

    def _compiling(self, what: str, images: Images, *more: object) -> AbstractContextManager[None]:
        """The context of a call. The first call with a shape compiles; its time counts as start-up."""
        program = (what, *images.shape, type(images), *more)
        if program in self._compiled:
            return nullcontext()
        self._compiled.add(program)
        return self._compile(what)

    @contextmanager
    def _compile(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        with self._watch.measure(Bucket.STARTUP):
            yield
            self.wait()
        log.info("compiled and took the first %s in %.2f s", what, time.monotonic() - begun)

    def train_score(self) -> Score:
        """Means over the steps since `reset`."""
        return _score(one_of(self._train_sums).numpy())

    def reset(self) -> None:
        """Resets the sums for a new epoch."""
        self._train_sums.assign(np.zeros(3))
        self._finite_images.assign(0.0)

    def first_step_not_finite(self, batch_size: int) -> int | None:
        """The step of this epoch, counted from 1, from which the sum of the loss is nan or infinite.

        None if it is finite. Waits for the device.
        """
        if np.isfinite(one_of(self._train_sums).numpy()[0]):
            return None
        return int(one_of(self._finite_images).numpy() // batch_size) + 1

    def evaluate(self, batches: Iterator[tuple[Images, Labels]], batch_size: int) -> Score:
        """Means over all images of the batches; the last batch is padded, so that one shape is compiled."""
        return self.examine(batches, batch_size)[0]

    def examine(self, batches: Iterator[tuple[Images, Labels]], batch_size: int) -> tuple[Score, Answers]:
        """Like `evaluate`, and the network's answers to each image. Does not wait for the device between batches."""
        asked: list[tuple[Labels, tf.Tensor, tf.Tensor]] = []
        sums: list[tf.Tensor] = []
        for images, labels in batches:
            missing = batch_size - len(labels)
            weights = np.concatenate([np.ones(len(labels), np.float32), np.zeros(missing, np.float32)])
            filled, padded = filled_up(images, missing), np.concatenate([labels, np.zeros(missing, np.int32)])
            with self._compiling("validation step", filled):
                part, *found = self._evaluate(*tensors(filled), tf.constant(padded), tf.constant(weights))
            sums.append(part)
            asked.append((labels, *found))
        # The host adds up, in order, because an XLA program cannot assign to a variable that is on several devices.
        total = sum((part.numpy() for part in sums), start=np.zeros(3))
        return _score(total), joined([_answers(*one) for one in asked])

    def arrays(self) -> Arrays:
        """A host copy of everything that the next step depends on; it shares no memory with the variables."""
        copies = {name: _host_copy(v.value) for name, v in self._variables().items()}
        copies["sums/train"] = _host_copy(self._train_sums)
        return copies

    def load(self, arrays: Arrays) -> None:
        """Sets the state to a copy that `arrays` returned.

        Raises:
            JobFailure: the copy is of another network or optimizer.
        """
        variables = self._variables()
        shapes = {name: (tuple(v.shape), str(v.dtype)) for name, v in variables.items()}
        given = {name: (a.shape, str(a.dtype)) for name, a in arrays.items() if name != "sums/train"}
        if shapes != given:
            odd = sorted(name for name in {*shapes, *given} if shapes.get(name) != given.get(name))
            text = f"the checkpoint is of another network or optimizer; {len(odd)} arrays differ, the first: {odd[0]}"
            raise JobFailure(Reason.RESTORE_FAILED, text)
        for name, variable in variables.items():
            variable.assign(arrays[name])
        sums = arrays["sums/train"]
        self._train_sums.assign(sums)
        self._finite_images.assign(sums[2] if np.isfinite(sums[0]) else 0.0)

    def take(self, arrays: Arrays) -> Taken:
        """Takes what fits from a copy that `arrays` of another job returned: see take_fitting. Raises JobFailure."""
        return take_fitting(self._variables(), arrays)

    def _variables(self) -> dict[str, Any]:
        # Paths are not unique in Keras, so the names begin with numbers in the order of creation.
        named = {f"network/{k:04d}/{v.path}": v for k, v in enumerate(self.network.variables)}
        return named | {f"optimizer/{k:04d}/{v.path}": v for k, v in enumerate(self._optimizer.variables)}

    def _evaluate_step(
        self, images: tf.Tensor, rows: tf.Tensor | None, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The sums of a batch, the most probable classes of each image, and their probabilities."""
        loss, correct, logits = self._objective.evaluation(picked(images, rows), labels, weights)
        sums = tf.stack([tf.cast(x, tf.float64) for x in (loss, correct, tf.reduce_sum(weights))])
        top = tf.math.top_k(logits, k=min(TOP, int(logits.shape[-1])))
        return sums, top.indices, tf.exp(top.values - tf.reduce_logsumexp(logits, axis=-1, keepdims=True))


def _host_copy(value: Any) -> npt.NDArray[Any]:
    # Like variable.numpy(), but without a name scope and a second copy: 2 ms instead of 6 ms for 215 variables.
    variable = one_of(value)
    return np.asarray(tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype).numpy())


def _answers(labels: Labels, classes: tf.Tensor, probabilities: tf.Tensor) -> Answers:
    """The answers to a batch without those to its padding."""
    own = len(labels)
    return Answers(labels, classes.numpy()[:own], probabilities.numpy()[:own])


def _score(sums: npt.NDArray[np.float64]) -> Score:
    loss, correct, count = (float(x) for x in sums)
    return Score(loss / count, correct / count) if count else Score(float("nan"), float("nan"))
