"""The network, its optimizer and the compiled step: everything that touches the device."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from core.domain.errors import JobFailure
from core.domain.goodput import Bucket, Stopwatch
from core.domain.policies import Reason
from core.domain.spec import JobSpec, OptimizerSpec
from worker.checkpointing.snapshot import Arrays
from worker.training.environment import compiles
from worker.training.evaluation import TOP, Answers, joined
from worker.training.names import stable_names
from worker.training.networks import build_network

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """Means over images. `loss` includes the regularisation, as Keras reports it."""

    loss: float
    accuracy: float


def make_optimizer(spec: OptimizerSpec) -> keras.optimizers.Optimizer:
    """The optimizer of a spec, its rate set anew at every step; its name is part of its variables' names."""
    match spec.name:
        case "adam":
            return keras.optimizers.Adam(spec.learning_rate, epsilon=spec.epsilon, name="adam")
        case "rmsprop":
            momentum, epsilon = spec.momentum, spec.epsilon
            return keras.optimizers.RMSprop(spec.learning_rate, momentum=momentum, epsilon=epsilon, name="rmsprop")
        case _:
            return keras.optimizers.SGD(spec.learning_rate, momentum=spec.momentum, name="sgd")


class Engine:
    """Trains and evaluates one network. Images are uint8 [n, h, w, 3], labels int32 [n].

    Loss: cross-entropy on the logits, which is that on the softmax's output without its rounding, plus regularisation.
    `watch` is told when a call compiles; `xla`: whether it does.
    """

    def __init__(self, spec: JobSpec, classes: int, watch: Stopwatch | None = None, xla: str = "auto") -> None:
        begun = time.monotonic()
        self._watch, self._compiled = watch or Stopwatch(time.monotonic), set[tuple[Any, ...]]()
        keras.utils.clear_session()  # the names that Keras makes up are part of the state: count them from one
        keras.utils.set_random_seed(spec.seed)
        compiled = compiles(xla)
        if spec.deterministic and not compiled:  # XLA has no gradient of max pooling under this switch
            tf.config.experimental.enable_op_determinism()
        self.network = build_network(spec, classes)
        self._scorer = keras.Model(self.network.inputs, self.network.get_layer("logits").output)
        self._optimizer = make_optimizer(spec.optimizer)
        self._optimizer.build(self.network.trainable_variables)
        # Sums of loss and of correct answers, and the number of images, of the epoch under way.
        self._train_sums = tf.Variable(np.zeros(3), dtype=tf.float64)
        self._eval_sums = tf.Variable(np.zeros(3), dtype=tf.float64)
        self._train = tf.function(self._train_step, jit_compile=compiled)
        self._evaluate = tf.function(self._evaluate_step, jit_compile=compiled)
        log.info("built the network in %.2f s", time.monotonic() - begun)

    @property
    def rate(self) -> float:
        """The learning rate that the optimizer holds."""
        return float(self._optimizer.learning_rate.value.numpy())

    @rate.setter
    def rate(self, value: float) -> None:
        self._optimizer.learning_rate.assign(value)

    def train_step(self, images: Images, labels: Labels, rate: float) -> None:
        """One update of all variables."""
        with self._compiling("step", images):
            self._train(tf.constant(images), tf.constant(labels), tf.constant(rate, tf.float32))

    def _compiling(self, what: str, images: Images) -> AbstractContextManager[None]:
        """The first call of a shape compiles, and counts as start-up."""
        program = (what, *images.shape)
        if program in self._compiled:
            return nullcontext()
        self._compiled.add(program)
        return self._compile(what, program)

    @contextmanager
    def _compile(self, what: str, program: tuple[Any, ...]) -> Iterator[None]:
        begun = time.monotonic()
        with self._watch.measure(Bucket.STARTUP), stable_names(repr(program)):
            yield
        log.info("compiled and took the first %s in %.2f s", what, time.monotonic() - begun)

    def train_score(self) -> Score:
        """Means over the steps since `reset`."""
        return _score(self._train_sums)

    def reset(self) -> None:
        """Starts the sums of a new epoch."""
        self._train_sums.assign(np.zeros(3))

    def evaluate(self, batches: Iterator[tuple[Images, Labels]], batch_size: int) -> Score:
        """Means over all images of the batches; the last one is filled up, so that one shape is compiled."""
        return self.examine(batches, batch_size)[0]

    def examine(self, batches: Iterator[tuple[Images, Labels]], batch_size: int) -> tuple[Score, Answers]:
        """The same, and what the network answers to each image; the device is not waited for in between."""
        self._eval_sums.assign(np.zeros(3))
        asked: list[tuple[Labels, tf.Tensor, tf.Tensor]] = []
        for images, labels in batches:
            missing = batch_size - len(labels)
            weights = np.concatenate([np.ones(len(labels), np.float32), np.zeros(missing, np.float32)])
            filled = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
            padded = np.concatenate([labels, np.zeros(missing, np.int32)])
            with self._compiling("validation step", filled):
                found = self._evaluate(tf.constant(filled), tf.constant(padded), tf.constant(weights))
            asked.append((labels, *found))
        return _score(self._eval_sums), joined([_answers(*one) for one in asked])

    def arrays(self) -> Arrays:
        """A host copy of everything that the next step depends on; it shares no memory with the variables."""
        copies = {name: _host_copy(v.value) for name, v in self._variables().items()}
        copies["sums/train"] = _host_copy(self._train_sums)
        return copies

    def load(self, arrays: Arrays) -> None:
        """Takes over such a copy.

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
        self._train_sums.assign(arrays["sums/train"])

    def _variables(self) -> dict[str, Any]:
        # Paths are not unique in Keras, the order of creation is.
        named = {f"network/{k:04d}/{v.path}": v for k, v in enumerate(self.network.variables)}
        return named | {f"optimizer/{k:04d}/{v.path}": v for k, v in enumerate(self._optimizer.variables)}

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor) -> None:
        self._optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            logits = self._scorer(_scaled(images), training=True)
            loss = tf.reduce_mean(_cross_entropy(labels, logits)) + self._regularisation()
        variables = self.network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        count = tf.cast(tf.shape(labels)[0], tf.float64)
        correct = tf.reduce_sum(_correct(labels, logits))
        self._train_sums.assign_add([tf.cast(loss, tf.float64) * count, tf.cast(correct, tf.float64), count])

    def _evaluate_step(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The most probable classes of each image, and how probable they are."""
        logits = self._scorer(_scaled(images), training=False)
        count = tf.reduce_sum(weights)
        loss = tf.reduce_sum(weights * _cross_entropy(labels, logits)) + count * self._regularisation()
        correct = tf.reduce_sum(weights * _correct(labels, logits))
        self._eval_sums.assign_add([tf.cast(x, tf.float64) for x in (loss, correct, count)])
        logits = tf.cast(logits, tf.float32)
        top = tf.math.top_k(logits, k=min(TOP, int(logits.shape[-1])))
        return top.indices, tf.exp(top.values - tf.reduce_logsumexp(logits, axis=-1, keepdims=True))

    def _regularisation(self) -> tf.Tensor:
        losses = self.network.losses
        return tf.add_n(losses) if losses else tf.constant(0.0)


def _host_copy(variable: tf.Variable) -> npt.NDArray[Any]:
    # What variable.numpy() does, without its name scope and its second copy: of 215 variables 6 ms become 2.
    return np.asarray(tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype).numpy())


def _answers(labels: Labels, classes: tf.Tensor, probabilities: tf.Tensor) -> Answers:
    """Of a batch that was filled up, those to its own images."""
    own = len(labels)
    return Answers(labels, classes.numpy()[:own], probabilities.numpy()[:own])


def _scaled(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255.0


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))


def _correct(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels), tf.float32)


def _score(sums: tf.Variable) -> Score:
    loss, correct, count = (float(x) for x in sums.numpy())
    return Score(loss / count, correct / count) if count else Score(float("nan"), float("nan"))
