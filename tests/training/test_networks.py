"""The networks: sizes as published, weights determined by the seed, and files that plain Keras loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from baton.domain.catalog import NETWORKS
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import parse_spec
from models import blocks
from tests.support.jobs import tiny
from tests.training.fingerprints import fingerprint
from worker.training.step.networks import network_outputs

PUBLISHED = ("network-1", "network-2")
SIZES = (16, 64)
PREDICT = """
import json, sys
from pathlib import Path
import keras
import numpy as np
images = {size: np.load(f"{sys.argv[1]}/{size}.npy") for size in (16, 64)}
answers = {}
for file in Path(sys.argv[1]).glob("*.keras"):
    model = keras.models.load_model(file)
    answers[file.name] = {size: model.predict(x, verbose=0).tolist() for size, x in images.items()}
assert not any(name.partition(".")[0] in ("models", "core", "worker") for name in sys.modules)
print(json.dumps(answers))
"""
FINGERPRINT = """
import sys
import models
from tests.training.fingerprints import fingerprint
print(",".join(fingerprint(name) for name in sys.argv[1:]))
"""


def _fresh(code: str, *args: str, path: str) -> str:
    env = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_network_has_an_output_for_each_class_of_the_data() -> None:
    def outputs(**network: object) -> int:
        return network_outputs(parse_spec(tiny(network={"name": "tiny-cnn", **network})), classes=10)

    assert (outputs(), outputs(classes=10), outputs(classes=12)) == (10, 10, 12)
    with pytest.raises(JobFailure, match=r"network\.classes: the data has 10 classes, the network only 4") as failure:
        outputs(classes=4)
    assert failure.value.reason == Reason.BAD_DATA


@pytest.mark.parametrize("name", NETWORKS)
def test_has_the_published_number_of_parameters(name: str) -> None:
    model = models.build(name, width=1.0, classes=200, seed=1)
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert model.count_params() == NETWORKS[name].parameters
    assert trainable == NETWORKS[name].trainable_parameters


def test_published_numbers_are_the_papers() -> None:
    published = {name: (NETWORKS[name].parameters, NETWORKS[name].trainable_parameters) for name in PUBLISHED}
    assert published == {"network-1": (17_927_040, 17_916_784), "network-2": (11_822_920, 11_812_680)}


def test_space_to_depth_equals_tensorflows() -> None:
    images = keras.Input((None, None, 3))
    model = keras.Model(images, blocks.space_to_depth(images))
    for height, width in ((2, 2), (8, 4), (32, 64)):
        x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")
        np.testing.assert_array_equal(model(x).numpy(), tf.nn.space_to_depth(x, 2).numpy())


def _under_policy(policy: str, name: str) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return models.build(name, width=0.05, classes=5, seed=2, dropout=0.3)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.process
def test_saved_files_predict_in_a_process_that_knows_only_keras(tmp_path: Path) -> None:
    kinds = [(name, policy) for name in NETWORKS for policy in ("float32", "mixed_bfloat16")]
    built = {f"{name}-{policy}.keras": _under_policy(policy, name) for name, policy in kinds}
    images = {size: np.random.default_rng(size).random((3, size, size, 3), "float32") for size in SIZES}
    for size, x in images.items():
        np.save(tmp_path / f"{size}.npy", x)
    for file, model in built.items():
        model.save(tmp_path / file)
    answers = json.loads(_fresh(PREDICT, str(tmp_path), path=""))
    for file, model in built.items():
        for size, x in images.items():
            np.testing.assert_allclose(answers[file][str(size)], model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_precision_keeps_logits_and_probabilities_in_float32(name: str) -> None:
    model = _under_policy("mixed_bfloat16", name)
    assert (model.get_layer("logits").output.dtype, model.output.dtype) == ("float32", "float32")
    assert model.get_layer("conv_1").output.dtype == "bfloat16"
    assert [layer.name for layer in model.layers[-2:]] == ["logits", "probabilities"]


@pytest.mark.process
def test_two_processes_build_the_same_weights() -> None:
    root = str(Path(models.__file__).parents[1])
    assert _fresh(FINGERPRINT, *NETWORKS, path=root) == ",".join(map(fingerprint, NETWORKS))


@pytest.mark.parametrize("name", NETWORKS)
def test_seed_decides_and_layers_differ(name: str) -> None:
    a, b = (models.build(name, width=0.1, classes=7, seed=seed) for seed in (1, 2))
    kernels = [layer.kernel.numpy() for layer in a.layers if isinstance(layer, keras.layers.Conv2D)]
    seeds = {layer.kernel_initializer.seed for layer in a.layers if isinstance(layer, keras.layers.Conv2D)}
    assert len(seeds) == len(kernels)
    assert not np.array_equal(kernels[0], b.get_layer("conv_1").kernel.numpy())


def test_dropout_changes_no_initial_weight() -> None:
    plain, dropped = (models.build("network-2", width=0.1, classes=4, seed=1, dropout=d) for d in (0.0, 0.5))
    assert any(isinstance(layer, keras.layers.Dropout) for layer in dropped.layers)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in plain.layers)
    for a, b in zip(plain.trainable_weights, dropped.trainable_weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_layers_are_as_published() -> None:
    one, two = (models.build(name, width=0.05, classes=4, seed=1) for name in PUBLISHED)
    convs = [[layer for layer in m.layers if isinstance(layer, keras.layers.Conv2D)] for m in (one, two)]
    assert [len(c) for c in convs] == [16, 14]
    assert all(not c.use_bias and c.kernel_regularizer is None for c in convs[0])
    assert all(c.use_bias and float(c.kernel_regularizer.l2) == pytest.approx(2e-4) for c in convs[1])
    assert all(c.kernel_initializer.get_config()["mode"] == "fan_in" for c in convs[1])
    norms = [layer for m in (one, two) for layer in m.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(n.momentum, n.epsilon) for n in norms} == {(0.99, 1e-3)}


def test_width_scales_every_filter_count_and_keeps_one() -> None:
    assert [blocks.scaled(f, w) for f, w in ((32, 0.5), (32, 0.01), (512, 2.0), (32, 0.3))] == [16, 1, 1024, 10]


def test_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown network 'network-3'"):
        models.build("network-3", width=1.0, classes=2, seed=0)
