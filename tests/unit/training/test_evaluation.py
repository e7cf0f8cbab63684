"""The numbers of an evaluation, compared with small cases computed by hand and with scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from baton.domain.evaluation import EvaluatedModel, Evaluation
from worker.training.evaluation import Answers, class_names, evaluated, joined, main_numbers

NAMES = ("ant", "bee", "<script>alert(1)</script>")


def answers(labels: list[int], classes: list[list[int]]) -> Answers:
    shape = (len(classes), len(classes[0]))
    probabilities = np.linspace(0.9, 0.1, shape[1], dtype=np.float32)
    return Answers(
        np.array(labels, np.int32), np.array(classes, np.int32), np.broadcast_to(probabilities, shape).copy()
    )


def drawn(images: int, classes: int, seed: int) -> Answers:
    generator = np.random.default_rng(seed)
    scores = generator.random((images, classes))
    labels = generator.integers(0, classes, images)
    # About half of the predictions are moved towards the right class.
    scores[np.arange(images), labels] += generator.random(images)
    order = np.argsort(-scores, axis=1)[:, :5]
    return answers(labels.tolist(), order.tolist())


def test_a_case_by_hand() -> None:
    # ant: 2 of 3 right, one predicted as bee. bee: 1 of 2 right, one predicted as ant. Third class: never right, never
    # predicted.
    found = evaluated(answers([0, 0, 0, 1, 1, 2], [[0, 1], [0, 1], [1, 0], [1, 2], [0, 2], [1, 2]]), NAMES, 1.25)
    assert found.confusion == ((2, 1, 0), (1, 1, 0), (0, 1, 0))
    assert (found.images, found.loss) == (6, 1.25)
    assert found.accuracy == pytest.approx(3 / 6)
    assert found.top5_accuracy == pytest.approx(5 / 6)
    ant, bee, third = found.classes
    assert (ant.precision, ant.recall, ant.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (bee.precision, bee.recall, bee.f1) == pytest.approx((1 / 3, 1 / 2, 0.4))
    assert (third.images, third.predicted, third.precision, third.recall, third.f1) == (1, 0, 0, 0, 0)
    assert (found.best, found.worst) == ((0,), (2,))
    assert found.macro.f1 == pytest.approx((2 / 3 + 0.4) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed: int) -> None:
    given = drawn(500, 12, seed)
    found = evaluated(given, [f"c{k}" for k in range(12)], 0.5)
    labels, predicted = given.labels, given.classes[:, 0]
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    assert np.array_equal(found.confusion, sk.confusion_matrix(labels, predicted))
    for name, average in (
        ("precision", sk.precision_score(labels, predicted, average=None)),
        ("recall", sk.recall_score(labels, predicted, average=None)),
        ("f1", sk.f1_score(labels, predicted, average=None)),
    ):
        assert [getattr(c, name) for c in found.classes] == pytest.approx(list(average))
        assert getattr(found.macro, name) == pytest.approx(np.mean(average))
    scores = np.zeros((500, 12))
    np.put_along_axis(scores, given.classes.astype(np.int64), np.arange(5, 0, -1.0)[None], axis=1)
    assert found.top5_accuracy == pytest.approx(sk.top_k_accuracy_score(labels, scores, k=5))
    assert found.accuracy < found.top5_accuracy < 1


def test_the_best_and_the_worst_are_others() -> None:
    many = evaluated(drawn(4000, 200, 1), [f"c{k}" for k in range(200)], 1.0)
    assert len(many.best) == len(many.worst) == 10
    assert not set(many.best) & set(many.worst)
    f1 = [many.classes[label].f1 for label in many.best]
    assert f1 == sorted(f1, reverse=True)
    assert min(f1) > max(many.classes[label].f1 for label in many.worst)


def test_a_class_without_images_is_in_the_matrix_and_in_no_mean() -> None:
    found = evaluated(answers([0, 1], [[0, 1], [1, 0]]), class_names(NAMES[:2], 4), 0.1)
    assert [c.name for c in found.classes] == ["ant", "bee", "class 2", "class 3"]
    assert np.shape(found.confusion) == (4, 4)
    assert found.macro.f1 == 1
    assert {*found.best, *found.worst} == {0, 1}


def test_parts_are_joined_in_order() -> None:
    whole = drawn(30, 8, 3)
    parts = [Answers(whole.labels[a:b], whole.classes[a:b], whole.probabilities[a:b]) for a, b in ((0, 7), (7, 30))]
    assert np.array_equal(joined(parts).classes, whole.classes)
    assert len(joined(parts)) == 30


def test_the_file_reads_back_and_a_loss_that_is_no_number_is_null() -> None:
    found = evaluated(answers([0, 1], [[0, 1], [0, 1]]), NAMES[:2], math.nan)
    model = EvaluatedModel(role="best", stage=1, epoch=3, image_size=8)
    file = Evaluation(job="j", network="network-1", dataset="digits", model=model, sets={"validation": found})
    text = file.model_dump_json()
    assert json.loads(text, parse_constant=pytest.fail)["sets"]["validation"]["loss"] is None
    assert Evaluation.model_validate_json(text) == file
    numbers = main_numbers(file)
    assert numbers.keys() == {"val_accuracy", "val_top5", "val_loss", "val_f1"}
    assert numbers["val_accuracy"] == 0.5
    assert math.isnan(numbers["val_loss"])
