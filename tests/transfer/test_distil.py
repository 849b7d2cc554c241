"""Several teachers into one student."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression
from mtlkeras.transfer import distil
from mtlkeras.trunks import MLP
from tests.support import EAGERLY, sigmoid, softmax

pytestmark = pytest.mark.eager

HEADS = {
    "kind": Classification(3),
    "marks": MultiLabel(2),
    "size": Regression(2, mean=1.0, scale=2.0),
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype("float32")
Y = {
    "kind": np.array([0, 1, 2, -1] * 3),
    "marks": RNG.integers(0, 2, (12, 2)),
    "size": RNG.normal(size=(12, 2)).astype("float32"),
}


def model(tasks=HEADS, width=5, rate=0.0, **arguments):
    made = mtlkeras.build_model((4,), MLP(depth=1, width=width), {task: HEADS[task] for task in tasks})
    made.compile(keras.optimizers.SGD(rate), run_eagerly=EAGERLY, **arguments)
    return made


def teachers(tasks=HEADS):
    return {task: model([task], width=7) for task in tasks}


def scores(of, task):
    """The scores of a task, by NumPy."""
    kernel, bias = of.get_layer(f"{task}_logits").get_weights()
    first, shift = of.trunk.get_layer("hidden_1").get_weights()
    return np.maximum(X @ first + shift, 0) @ kernel + bias


def test_losses_are_those_of_the_papers():
    t, known, student = 3.0, teachers(), model(loss_weights={"kind": 2.0})
    logs = distil(known, student, (X, Y), t, 0.25, 0.5, epochs=1, verbose=0).history
    p, q = (softmax(scores(m, "kind") / t) for m in (known["kind"], student))
    kl = t * t * (p * np.log(p / q)).sum(1).mean()
    assert logs["kind_soft_loss"] == [pytest.approx(kl, rel=1e-4)]
    p, q = (sigmoid(scores(m, "marks") / t) for m in (known["marks"], student))
    kl = t * t * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert logs["marks_soft_loss"] == [pytest.approx(kl, rel=1e-4)]
    mse = np.square(scores(known["size"], "size") - scores(student, "size")).mean()
    assert logs["size_soft_loss"] == [pytest.approx(mse, rel=1e-4)]
    expected = sum(
        factor
        * (
            0.75 * logs[f"{task}_loss"][0]
            + 0.25 * logs[f"{task}_soft_loss"][0]
            + 0.5 * logs[f"{task}_features_loss"][0]
        )
        for task, factor in {"kind": 2.0, "marks": 1.0, "size": 1.0}.items()
    )
    assert logs["loss"] == [pytest.approx(expected, rel=1e-5)]
    assert 0 < logs["kind_features_loss"][0] <= 4
    labelled = student.evaluate(X, Y, verbose=0, return_dict=True)
    assert labelled["kind_loss"] == pytest.approx(logs["kind_loss"][0], rel=1e-5)


def test_student_learns_without_labels_and_is_an_ordinary_model(tmp_path):
    teacher, student = teachers(["kind"]), model(["kind", "size"], width=32)
    student.compile(keras.optimizers.Adam(0.1), run_eagerly=EAGERLY)
    others = student.get_layer("size_logits").get_weights()[0]
    history = distil(teacher, student, (X, {}), 1.0, 1.0, epochs=8, batch_size=12, verbose=0).history
    assert history["kind_soft_loss"][-1] < 0.4 * history["kind_soft_loss"][0]
    np.testing.assert_allclose(
        student.predict(X, verbose=0)["kind"], softmax(scores(teacher["kind"], "kind")), atol=0.4
    )
    np.testing.assert_array_equal(student.get_layer("size_logits").get_weights()[0], others)
    assert list(student.output) == ["kind", "size"]
    student.save(tmp_path / "student.keras")
    again = mtlkeras.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0)["kind"], student.predict(X, verbose=0)["kind"])
    student.fit(X, {"kind": Y["kind"]}, verbose=0)


def batches():
    for start in range(0, 12, 4):
        part = slice(start, start + 4)
        yield X[part], {task: Y[task][part] for task in ("kind", "size")}


class Dataset(keras.utils.PyDataset):
    num_batches = 3

    def __getitem__(self, index):
        return list(batches())[index]


def trained(data, **arguments):
    keras.utils.set_random_seed(0)
    known, student = teachers(["kind"]), model(["kind", "size"], rate=0.1)
    history = distil(known, student, data, verbose=0, batch_size=4, **arguments)
    return history.history, student.get_weights()


def test_every_kind_of_data_trains_the_same():
    logs, weights = trained((X, {task: Y[task] for task in ("kind", "size")}), shuffle=False)
    for data, steps in ((Dataset(), None), (batches(), 3)):
        other, found = trained(data, shuffle=False, steps_per_epoch=steps)
        assert other["loss"] == pytest.approx(logs["loss"], rel=1e-5)
        for a, b in zip(weights, found, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_data_sets_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    labels = {task: Y[task] for task in ("kind", "size")}
    tensors = (X, labels, {"kind": np.linspace(0.1, 2, 12, dtype="float32")})
    data = tf.data.Dataset.from_tensor_slices(tensors).batch(4)
    logs, found = trained(data, epochs=2, validation_data=data)
    other, expected = trained(tensors, epochs=2, shuffle=False)
    assert logs["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert "val_kind_accuracy" in logs
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_weights_of_examples_weigh_what_the_teacher_says():
    known, student = teachers(["kind"]), model()
    weights = {"kind": np.array([2.0] * 6 + [0.5] * 6, "float32")}
    logs = distil(known, student, (X, Y, weights), 1.0, batch_size=12, verbose=0).history
    p, q = (softmax(scores(m, "kind")) for m in (known["kind"], student))
    kl = (weights["kind"] * (p * np.log(p / q)).sum(1)).mean()
    assert logs["kind_soft_loss"] == [pytest.approx(kl, rel=1e-4)]


def test_balancers_take_what_teachers_say_for_tasks():
    student = model(balancer=mtlkeras.balancers.PCGrad(at="parameters"), rate=0.1)
    before = student.get_weights()
    distil(teachers(["kind"]), student, (X, Y), verbose=0)
    assert any((a != b).any() for a, b in zip(before, student.get_weights(), strict=True))
    assert student.balancing is not None
    student.fit(X, Y, verbose=0)


def test_what_does_not_fit_is_told():
    known, student = teachers(["kind"]), model()
    for match, arguments in {
        "Unknown task 'kin' in teachers of distil. Did you mean 'kind'": ({"kin": known["kind"]}, student),
        "the teacher of task 'size' has a Classification of 3, the student a Regression of 2": (
            {"size": known["kind"]},
            student,
        ),
        "Unknown task 'x'": ({"x": known["kind"]}, student),
    }.items():
        with pytest.raises(ValueError, match=match):
            distil(*arguments, (X, Y))
    with pytest.raises(ValueError, match="temperature must be finite and above zero; received 0"):
        distil(known, student, (X, Y), temperature=0)
    with pytest.raises(ValueError, match=r"weight must be in \[0, 1\]"):
        distil(known, student, (X, Y), weight=2)
    graded = mtlkeras.build_model((4,), MLP(), {"grade": Ordinal(3)})
    graded.compile("sgd")
    with pytest.raises(
        ValueError, match="the head of task 'grade' is Ordinal; heads that learn from a teacher are"
    ):
        distil({"grade": graded}, graded, (X, {}))
    heads = {"kind": HEADS["kind"], "kind_soft": Regression()}
    taken = mtlkeras.build_model((4,), MLP(), heads)
    taken.compile("sgd")
    with pytest.raises(ValueError, match="would be a task 'kind_soft', which the student has"):
        distil(known, taken, (X, {}))
    balanced = model(["kind", "size"], balancer=mtlkeras.balancers.PCGrad())
    with pytest.raises(ValueError, match="needs one representation.*Use at='parameters'"):
        distil(known, balanced, (X, {}))
    assert balanced.get_layer("gradient_fork")._fork is not None  # The student's balancer is at work again.
    fresh = mtlkeras.build_model((4,), MLP(), {"kind": HEADS["kind"]})
    with pytest.raises(ValueError, match="is not compiled"):
        distil(known, fresh, (X, Y))
