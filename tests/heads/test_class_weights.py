"""Weights of classes: as people write them, and balanced from the labels that a model trains on."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras._model.class_balance import ClassBalance, balance_classes
from mtlkeras.data import balanced_class_weights
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression, Tagging
from mtlkeras.heads._class_weights import class_weight_vector

NAMES = ("ant", "bee", "cat")
KIND = np.array([0, 0, 0, 1, 1, 2, -1, 0, 2, -1, 0, 0])
MARKS = np.array([[1, 0], [0, 0], [-1, 1], [0, 1], [0, -1], [1, 1]] * 2)
GRADE = np.array([3, 0, 1, 1, 2, -1, 3, 3, 0, 0, 0, 1])
TAGS = np.array([[0, 1, -1], [0, 0, 0], [2, -1, -1], [0, -1, -1]] * 3)


@pytest.mark.parametrize(
    "given",
    [
        {"ant": 2, 2: 0.5},
        {np.str_("ant"): np.float32(2), np.int64(2): np.float64(0.5)},
        {0.0: 2.0, np.float32(2): "0.5"},
        {False: 2.0, np.int8(2): np.array(0.5)},
        [2.0, 1.0, 0.5],
        np.array([2.0, 1.0, 0.5]),
    ],
    ids=repr,
)
def test_numbers_may_be_numpy_s(given):
    head = Classification(3, class_names=NAMES)
    np.testing.assert_array_equal(class_weight_vector(head, given), [2.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wasp": 1.0}, "the class 'wasp'; the classes are ant, bee, cat"),
        ({3: 1.0}, "the class 3"),
        ({np.float32(0.5): 1.0}, "names the class"),
        ({None: 1.0}, "the class None"),
        ({0: np.nan}, "class 0 must be finite"),
        ({0: "much"}, "class 0 must be finite"),
        ({0: [1.0, 2.0]}, "class 0 must be finite"),
        ([1.0, 2.0], "or 3 weights"),
        (np.ones((3, 1)), "or 3 weights"),
    ],
    ids=repr,
)
def test_what_is_no_weight_is_told(given, message):
    with pytest.raises(ValueError, match=message):
        class_weight_vector(Classification(3, class_names=NAMES), given)


def test_balanced_weights_are_those_of_scikit_learn():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    for head, y in ((Classification(3), KIND), (Ordinal(4), GRADE), (Tagging(("a", "b", "c")), TAGS)):
        known = y[y >= 0]
        expected = compute("balanced", classes=np.unique(known), y=known)
        found = balanced_class_weights(y, head)
        assert list(found) == list(range(head.num_classes) if head.class_names is None else head.class_names)
        np.testing.assert_allclose(list(found.values()), expected, rtol=1e-6)


def test_balanced_weights_of_other_forms_of_labels():
    head = Classification(3, class_names=NAMES)
    plain = balanced_class_weights(KIND, head)
    assert list(plain) == list(NAMES)
    rows = np.where(KIND[:, None] < 0, np.nan, np.eye(3)[KIND])
    for same in (rows, KIND[:, None], np.where(KIND < 0, np.nan, KIND), KIND.tolist()):
        assert balanced_class_weights(same, head) == plain
    weights = np.where(KIND == 2, 0.0, 2.5)  # The third class counts as missing, and weighs 1.
    assert balanced_class_weights(KIND, head, weights) == {"ant": 8 / 12, "bee": 2.0, "cat": 1.0} | {
        "ant": pytest.approx(8 / 12)
    }
    marks = balanced_class_weights(MARKS, MultiLabel(2, label_names=("red", "blue")))
    assert marks == {"red": pytest.approx(3 / 2), "blue": pytest.approx(2 / 3)}
    with pytest.raises(ValueError, match="Regression has no classes"):
        balanced_class_weights(KIND, Regression())


def heads(**changes):
    return {
        "kind": Classification(3, class_names=NAMES, class_weight="balanced"),
        "marks": MultiLabel(2, positive_weight="balanced"),
        "grade": Ordinal(4, class_weight="balanced"),
        **changes,
    }


def built(tasks=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x")
    trunk = keras.Model(inputs, {"vector": keras.layers.Dense(2, name="d")(inputs)})
    model = mtlkeras.build_model(keras.Input((3,), name="x"), trunk, tasks or heads())
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=keras.backend.backend() == "tensorflow")
    return model


X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = {"kind": KIND, "marks": MARKS, "grade": GRADE}


def kept(model):
    return {
        task: np.asarray(layer.class_weights)
        for task, layer in model.output_layers.items()
        if layer.head.balanced
    }


def numbers(y=Y):
    return {
        task: np.array(list(balanced_class_weights(y[task], head).values())) for task, head in heads().items()
    }


def test_fit_takes_them_and_evaluation_and_a_saved_model_keep_them(tmp_path):
    """The same losses as with the numbers written into the heads; the rate is 0, so weights stay."""
    model = built()
    weights = numbers()
    given = built(
        {
            "kind": Classification(3, class_weight=dict(zip(range(3), weights["kind"], strict=True))),
            "marks": MultiLabel(2, positive_weight=tuple(weights["marks"])),
            "grade": Ordinal(4, class_weight=tuple(weights["grade"])),
        }
    )
    before = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert not any(w.any() for w in kept(model).values())
    plain = {
        task: head.replace(**{f: v})
        for (task, head), (f, v) in zip(
            heads().items(),
            [("class_weight", None), ("positive_weight", 1.0), ("class_weight", None)],
            strict=True,
        )
    }
    assert before == pytest.approx(built(plain).evaluate(X, Y, verbose=0, return_dict=True), rel=1e-5)
    history = model.fit(X, Y, batch_size=12, verbose=0).history
    for task, found in kept(model).items():
        np.testing.assert_allclose(found, weights[task], rtol=1e-6)
    wanted = given.evaluate(X, Y, verbose=0, return_dict=True)
    for task in Y:
        assert history[f"{task}_loss"][0] == pytest.approx(wanted[f"{task}_loss"], rel=1e-5)
        assert before[f"{task}_loss"] != pytest.approx(wanted[f"{task}_loss"], rel=1e-3)
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(wanted, rel=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = mtlkeras.load_model(tmp_path / "m.keras")
    assert loaded.heads == model.heads
    for task, found in kept(loaded).items():
        np.testing.assert_array_equal(found, kept(model)[task])


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        part = slice(4 * i, 4 * i + 4)
        return X[part], {task: y[part] for task, y in Y.items()}


def test_each_way_in_gives_the_same_numbers():
    import tensorflow as tf

    model = built()
    wanted = numbers()
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)
    ways = {
        "arrays": lambda: balance_classes(model, X, Y, None, None),
        "data set": lambda: balance_classes(model, data, None, None, None),
        "PyDataset": lambda: balance_classes(model, Batches(), None, None, None),
        "adapt": lambda: model.adapt(Y),
        "adapt to a data set": lambda: model.adapt(data),
    }
    for way, take in ways.items():
        for layer in model.output_layers.values():
            layer.class_weights.assign(np.zeros(layer.class_weights.shape))
        take()
        for task, found in kept(model).items():
            np.testing.assert_allclose(found, wanted[task], rtol=1e-6, err_msg=f"{way}, {task}")


def test_wrong_labels_of_a_data_set_are_told_plainly():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, {**Y, "grade": GRADE + 3})).batch(4)
    with pytest.raises(ValueError, match=r"^Labels of task 'grade': a label is outside the classes 0 to 3"):
        built().fit(data, verbose=0)


def test_labels_for_validation_and_of_weight_zero_do_not_count():
    model = built()
    first = {task: y[:9] for task, y in Y.items()}
    balance_classes(model, X, Y, None, None, validation_split=0.25)
    for task, found in kept(model).items():
        np.testing.assert_allclose(found, numbers(first)[task], rtol=1e-6)
    weights = np.where(np.arange(12) < 9, 0.5, 0.0)
    balance_classes(model, X, Y, dict.fromkeys(Y, weights), None)
    for task, found in kept(model).items():
        np.testing.assert_allclose(found, numbers(first)[task], rtol=1e-6)


def test_tasks_without_labels_keep_what_they_have():
    model = built()
    balance_classes(model, X, {"kind": KIND, "grade": np.full(12, -1)}, None, None)
    found = kept(model)
    assert found["kind"].all() and not found["marks"].any() and not found["grade"].any()
    before = found["kind"]
    balance_classes(model, X, {"marks": MARKS}, None, None)
    np.testing.assert_array_equal(kept(model)["kind"], before)


def test_fit_balances_heads_that_do_not():
    model = built(heads(kind=Classification(3, class_names=NAMES)))
    found = balance_classes(model, X, Y, None, {"kind": "balanced", "grade": None})
    assert found["kind"] == pytest.approx(dict(enumerate(numbers()["kind"])))
    assert found["grade"] is None
    single = built({"kind": Classification(3)})
    assert balance_classes(single, X, Y, None, "balanced") == {"kind": found["kind"]}
    by_fit = single.fit(X, KIND, class_weight="balanced", batch_size=12, verbose=0).history
    by_head = built({"kind": Classification(3, class_weight="balanced")}).fit(
        X, KIND, batch_size=12, verbose=0
    )
    assert by_fit["loss"] == pytest.approx(by_head.history["loss"], rel=1e-5)
    with pytest.raises(ValueError, match="Labels of task 'kind'"):
        single.fit(X, np.zeros((12, 4)), class_weight="balanced", verbose=0)


def endless():
    while True:
        yield Batches()[0]


@pytest.mark.parametrize(
    ("fitted", "message"),
    [
        (lambda m: m.fit(endless(), steps_per_epoch=1, verbose=0), "Task 'kind' .* pass over the training"),
        (lambda m: m.fit(X, Y, class_weight={"kind": "balanced"}), "weigh them twice"),
        (lambda m: m.fit(X, Y, class_weight={"marks": "balanced"}), "weigh them twice"),
        (lambda m: m.fit(X, Y, class_weight={"kind": "balancd"}), "task 'kind' is 'balancd'.* Did you mean"),
        (lambda m: m.fit(X, Y, class_weight={"knd": "balanced"}), "Did you mean 'kind'"),
    ],
)
def test_what_cannot_be_balanced_is_told(fitted, message):
    with pytest.raises(ValueError, match=message):
        fitted(built())


def test_heads_without_classes_are_told_what_to_do():
    model = built({"size": Regression(), "marks": MultiLabel(2)})
    labels = {"size": X[:, 0], "marks": MARKS}
    with pytest.raises(ValueError, match="Regression has no classes"):
        model.fit(X, labels, class_weight={"size": "balanced"})
    with pytest.raises(ValueError, match="positive_weight='balanced'"):
        model.fit(X, labels, class_weight={"marks": "balanced"})


def test_adapted_numbers_do_for_data_without_an_end():
    import tensorflow as tf

    model = built()
    model.adapt(Y)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat()
    assert balance_classes(model, data, None, None, None) is None
    np.testing.assert_allclose(kept(model)["kind"], numbers()["kind"], rtol=1e-6)


def test_classes_without_a_label_are_named():
    balance = ClassBalance({"kind": Classification(4), "marks": MultiLabel(2, label_names=("red", "blue"))})
    balance.add({"kind": np.array([0, 0, 3]), "marks": np.array([[1, 0], [1, 1]])})
    with (
        pytest.warns(UserWarning, match="Task 'kind': the training labels have none of class 1, 2,"),
        pytest.warns(UserWarning, match="Task 'marks': 'yes' and 'no' are not both .* 'red', which"),
    ):
        weights = balance.weights()
    np.testing.assert_allclose(weights["kind"], [0.75, 1.0, 1.0, 1.5])
    np.testing.assert_allclose(weights["marks"], [1.0, 1.0])


def test_weights_of_tokens():
    head = Tagging(("a", "b", "c"), class_weight="balanced")
    layer = head.output_layer("t")
    weights = np.array([0.5, 2.0, 4.0], "float32")
    layer.class_weights.assign(weights)
    scores = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(12, 3, 3)).astype("float32"))
    plain = ops.convert_to_numpy(Tagging(("a", "b", "c")).loss(TAGS, scores, layer))
    found = ops.convert_to_numpy(head.loss(ops.convert_to_tensor(TAGS), scores, layer))
    np.testing.assert_allclose(found, plain * weights[np.maximum(TAGS, 0)], rtol=1e-6)
