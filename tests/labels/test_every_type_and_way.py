"""Labels of any type, missing or not, through any way in, have the loss that NumPy finds."""

import keras
import ml_dtypes
import numpy as np
import pytest

import mtlkeras
from tests.labels import toys
from tests.support import EAGERLY

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
FLOATS = ("float16", "float32", "float64", "bfloat16")
OTHERS = ("list", "objects")


@pytest.fixture(scope="module")
def made():
    # One for each form that labels have; the others are crossed with types further down.
    heads = {task: toys.heads()[task] for task in ("kind", "age", "marks", "grade", "tags")}
    model = toys.model(heads)
    x = toys.inputs()
    return model, x, model.predict(x, verbose=0)


def typed(y: dict, name: str) -> dict:
    """Labels as float64 in another type; a type without a marker gets the labels of 0 and 1."""
    if name in ("list", "objects"):
        plain = {
            task: [[None if np.isnan(v) else int(v) for v in np.atleast_1d(row)] for row in value]
            for task, value in y.items()
        }
        plain = {task: [r[0] for r in rows] if y[task].ndim == 1 else rows for task, rows in plain.items()}
        return plain if name == "list" else {task: np.array(rows, object) for task, rows in plain.items()}
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else name
    if name in FLOATS:
        return {task: value.astype(dtype) for task, value in y.items()}
    return {task: np.where(np.isnan(value), -1, value).astype(dtype) for task, value in y.items()}


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays, size=3):
        super().__init__()
        self.arrays, self.size = arrays, size

    def __len__(self):
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, index):
        part = slice(index * self.size, (index + 1) * self.size)
        return tuple(
            {t: v[part] for t, v in a.items()} if isinstance(a, dict) else a[part] for a in self.arrays
        )


def generated(*arrays):
    batches = Batches(*arrays)
    yield from (batches[i] for i in range(len(batches)))


def dataset(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


def as_lists(y):
    return {task: value.tolist() if isinstance(value, np.ndarray) else value for task, value in y.items()}


def a_batch(function, x, y):
    """What a model says of one batch; Keras before 3.15 takes means over all batches so far."""
    function.__self__.reset_metrics()
    return function(x, y, return_dict=True)


WAYS = {
    "arrays": lambda m, x, y: m.evaluate(x, y, batch_size=3, verbose=0, return_dict=True),
    "lists": lambda m, x, y: m.evaluate(x, as_lists(y), batch_size=3, verbose=0, return_dict=True),
    "dataset": lambda m, x, y: m.evaluate(dataset(x, y), verbose=0, return_dict=True),
    "py_dataset": lambda m, x, y: m.evaluate(Batches(x, y), verbose=0, return_dict=True),
    "generator": lambda m, x, y: m.evaluate(generated(x, y), steps=2, verbose=0, return_dict=True),
    "test_on_batch": lambda m, x, y: a_batch(m.test_on_batch, x, y),
    "train_on_batch": lambda m, x, y: a_batch(m.train_on_batch, x, y),
    "fit": lambda m, x, y: {k: v[0] for k, v in m.fit(x, y, batch_size=3, verbose=0).history.items()},
}


def case_of(name: str, missing: bool) -> dict:
    y = toys.labels(missing=missing)
    y = {task: y[task] for task in ("kind", "age", "marks", "grade", "tags")}
    return {task: np.minimum(value, 1) for task, value in y.items()} if name == "bool" else y


def crossing():
    """Every type through a batch in memory and through a pipeline, where types are told apart; some
    through each other way, which bring what comes to the same function."""
    for name in (*WHOLE, *FLOATS, *OTHERS):
        for way in WAYS:
            quick = way in ("test_on_batch", "dataset") or name in ("uint8", "float32")
            yield pytest.param(name, way, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("name, way", list(crossing()))
def test_loss_of_any_type_through_any_way(made, name, way):
    model, x, outputs = made
    if way == "dataset" and (name in OTHERS or keras.backend.backend() != "tensorflow"):
        pytest.skip("A tf.data.Dataset has no lists, and is TensorFlow's.")
    for missing in (False,) if name in ("bool", "uint8", "uint16", "uint32", "uint64") else (False, True):
        y = case_of(name, missing)
        logs = WAYS[way](model, x, typed(y, name))
        for task, expected in toys.expected_losses(model, outputs, y).items():
            np.testing.assert_allclose(logs[f"{task}_loss"], expected, rtol=2e-5, err_msg=f"{task} {missing}")


@pytest.mark.parametrize("name", ["uint8", "uint16", "int8", "int16", "float16", "int64"])
def test_numbers_at_the_ends_of_their_type(made, name):
    model, x, outputs = made
    ends = np.finfo(name) if name.startswith("float") else np.iinfo(name)
    age = np.array([ends.max, ends.min, 0, 3, 7, ends.max]).astype(name)
    logs = model.evaluate(x, {"age": age}, verbose=0, return_dict=True)
    expected = ((outputs["age"][:, 0].astype("float64") - age.astype("float64")) ** 2).mean()
    np.testing.assert_allclose(logs["age_loss"], expected, rtol=1e-5)


def test_a_class_of_255_is_one():
    model = toys.model({"many": mtlkeras.heads.Classification(256)})
    x = toys.inputs()
    y = np.array([255, 0, 255, 3, 254, 255], "uint8")
    expected = -np.log(model.predict(x, verbose=0)["many"][np.arange(6), y]).mean()
    for way in ("arrays", "py_dataset", "generator", "test_on_batch"):
        logs = WAYS[way](model, x, {"many": y})
        np.testing.assert_allclose(
            logs["many_loss"] if "many_loss" in logs else logs["loss"], expected, rtol=1e-5
        )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "bool"])
def test_rows_of_classes_in_any_type(made, dtype):
    model, x, outputs = made
    kind = np.array([0, 2, 1, 1, 0, 2])
    logs = model.evaluate(x, {"kind": np.eye(3)[kind].astype(dtype)}, verbose=0, return_dict=True)
    np.testing.assert_allclose(
        logs["kind_loss"], -np.log(outputs["kind"][np.arange(6), kind]).mean(), rtol=1e-5
    )


def test_adapt_takes_every_value_of_an_unsigned_type():
    model = toys.model({"age": mtlkeras.heads.Regression()})
    model.adapt({"age": np.array([255, 5, 255, 5], "uint8")})
    layer = model.get_layer("age")
    np.testing.assert_allclose([layer.mean[0], layer.scale[0]], [130, 125])
    model.adapt({"age": np.full(1000, 0.1)})
    np.testing.assert_allclose([layer.mean[0], layer.scale[0]], [0.1, 1.0], rtol=1e-6)


def test_pandas_with_gaps(made):
    pandas = pytest.importorskip("pandas")
    model, x, outputs = made
    kind = pandas.Series([0, None, 2, 1, None, 0], dtype="Int64")
    age = pandas.Series([1.0, None, 2.0, 3.0, 4.0, 5.0])
    logs = model.evaluate(x, {"kind": kind, "age": age}, verbose=0, return_dict=True)
    known = [0, 2, 3, 5]
    expected = -np.log(outputs["kind"][known, [0, 2, 1, 0]]).mean()
    np.testing.assert_allclose(logs["kind_loss"], expected, rtol=1e-5)
    error = outputs["age"][[0, 2, 3, 4, 5], 0] - [1, 2, 3, 4, 5]
    np.testing.assert_allclose(logs["age_loss"], (error**2).mean(), rtol=1e-5)


BAD = {
    "class too high": ({"kind": np.array([0, 1, 2, 3, 0, 1])}, "task 'kind'.* outside the classes 0 to 2"),
    "class below -1": (
        {"grade": np.array([0, -100, 2, 3, 0, 1])},
        "task 'grade'.* outside the classes 0 to 3",
    ),
    "class in part": ({"kind": np.array([0, 1.7, 2, 1, 0, 1])}, "task 'kind'.* outside the classes"),
    "infinite class": ({"kind": np.array([0, np.inf, 2, 1, 0, 1])}, "task 'kind'.* outside the classes"),
    "yes of 255": ({"marks": np.full((6, 3), 255, "uint8")}, "task 'marks'.* outside the classes 0 to 1"),
    "infinite number": ({"age": np.array([0, 1, np.inf, 0, 1, 1])}, "task 'age'.* (infinite|finite numbers)"),
    "row of 255": ({"kind": np.tile([0, 255, 0], (6, 1))}, "task 'kind'.*(no row of probabilities|outside)"),
    "row below 0": ({"kind": np.tile([0, -3, 0], (6, 1))}, "task 'kind'.*(no row of probabilities|outside)"),
    "row of zeros": ({"kind": np.tile([0, 0, 0], (6, 1))}, "task 'kind'.*(no row of probabilities|outside)"),
    "two classes": ({"kind": np.tile([1, 1, 0], (6, 1))}, "task 'kind'.*(no row of probabilities|outside)"),
    "tag too high": ({"tags": np.full((6, 3), 3)}, "task 'tags'.* outside the classes 0 to 2"),
    "tag below -1": ({"tags": np.full((6, 3), -2)}, "task 'tags'.* outside the classes 0 to 2"),
    "text": ({"kind": np.array(["ant"] * 6)}, "task 'kind'.* received text"),
    "rank": ({"kind": np.zeros((6, 2, 2), "int32")}, r"task 'kind'.* received shape"),
    "width": ({"marks": np.zeros((6, 2), "int32")}, r"task 'marks'.* shape \(batch, 3\)"),
    "rank of tags": ({"tags": np.zeros((6,), "int32")}, r"task 'tags'.* shape \(batch, time\)"),
    "longer tags": ({"tags": np.zeros((6, 4), "int32")}, "task 'tags'.*4 steps, the outputs 3"),
    "shorter tags": ({"tags": np.zeros((6, 2), "int32")}, "task 'tags'.*2 steps, the outputs 3"),
}
# A pipeline that is broken off is waited for, half a second each time.
OF_EACH_FORM = (
    "class too high",
    "class in part",
    "yes of 255",
    "infinite number",
    "row of 255",
    "tag too high",
    "rank",
    "longer tags",
)
BAD_WAYS = [way for way in WAYS if way not in ("lists", "fit")]


@pytest.mark.parametrize("way", BAD_WAYS)
def test_bad_labels_are_told_whatever_the_way(made, way):
    model, x, outputs = made
    if way == "dataset" and keras.backend.backend() != "tensorflow":
        pytest.skip("A tf.data.Dataset is TensorFlow's.")
    good = {"kind": np.zeros(6, "int32")}
    expected = -np.log(outputs["kind"][:, 0]).mean()
    some = BAD if way != "dataset" else {title: BAD[title] for title in OF_EACH_FORM}
    for title, (y, told) in some.items():
        with pytest.raises(ValueError, match=told):
            WAYS[way](model, x, y)
            pytest.fail(f"Nothing was said of: {title}")
    # The next call works.
    np.testing.assert_allclose(WAYS[way](model, x, good)["kind_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("tasks", [("pair", "size"), pytest.param(("crf", "hmm"), marks=pytest.mark.slow)])
def test_labels_with_gaps_of_the_other_heads(tasks):
    model = toys.model({task: toys.heads()[task] for task in tasks}, run_eagerly=EAGERLY)
    x, y = toys.inputs(), {task: toys.labels(missing=True)[task] for task in tasks}
    expected = toys.expected_losses(model, model.predict(x, verbose=0), y)
    for name in ("int8", "int64", "float16", "float32", "list", "objects"):
        logs = model.test_on_batch(x, typed(y, name), return_dict=True)
        for task, value in expected.items():
            np.testing.assert_allclose(logs[f"{task}_loss"], value, rtol=2e-5, err_msg=task)


def test_batches_without_a_task_are_batches_of_missing_labels(made):
    model, x, outputs = made
    y = {task: value for task, value in toys.labels().items() if task in outputs}

    def batches():
        yield x[:3], {"kind": y["kind"][:3].astype("int32")}
        yield x[3:], {"age": y["age"][3:], "tags": y["tags"][3:]}

    logs = model.evaluate(batches(), steps=2, verbose=0, return_dict=True)
    part = {task: np.full_like(value, np.nan) for task, value in y.items()}
    part["kind"][:3] = y["kind"][:3]
    for task in ("age", "tags"):
        part[task][3:] = y[task][3:]
    for task, expected in toys.expected_losses(model, outputs, part).items():
        np.testing.assert_allclose(logs[f"{task}_loss"], expected, rtol=2e-5, atol=1e-12, err_msg=task)


def test_ragged_tags_and_tags_with_a_last_axis(made):
    model, x, outputs = made
    tags = np.array([[0, 1, 2]] * 6)
    plain = model.evaluate(x, {"tags": tags}, verbose=0, return_dict=True)
    wide = model.evaluate(x, {"tags": tags[..., None]}, verbose=0, return_dict=True)
    assert wide == plain
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    ragged = tf.ragged.constant([[0, 1, 2]] * 5 + [[0]])
    y = tags.astype("float64")
    y[5, 1:] = np.nan
    expected = toys.expected_losses(model, outputs, {"tags": y})["tags"]
    for logs in (
        model.evaluate(x, {"tags": ragged}, verbose=0, return_dict=True),
        model.evaluate(dataset(x, {"tags": ragged}), verbose=0, return_dict=True),
    ):
        np.testing.assert_allclose(logs["tags_loss"], expected, rtol=1e-5)


def test_a_label_outside_gives_no_plausible_loss_where_nothing_checks(made):
    """In a loop of the caller's own the loss is NaN, and not that of another class."""
    model, x, outputs = made
    outputs = {task: keras.ops.convert_to_tensor(value) for task, value in outputs.items()}
    for task, y in [
        ("kind", np.array([0, 1, 2, 7, 0, 1])),
        ("grade", np.array([0, 1, -9, 3, 0, 1])),
        ("marks", np.full((6, 3), 3)),
        ("tags", np.full((6, 3), 5)),
    ]:
        loss = model.compute_loss(y={task: keras.ops.convert_to_tensor(y)}, y_pred=outputs)
        assert np.isnan(float(loss)), task


def test_a_label_that_is_none_of_the_classes_is_wrong_and_not_learnt_from(made):
    """`Label(unseen="wrong")` gives such labels."""
    model, x, outputs = made
    other = mtlkeras.data.UNSEEN
    best = {task: outputs[task].argmax(-1).astype("int32") for task in ("kind", "tags")}
    y = {"kind": np.where(np.arange(6) < 2, other, best["kind"]), "tags": best["tags"].copy()}
    y["tags"][0, 0] = y["tags"][5, 2] = other
    y["kind"][5] = mtlkeras.MISSING
    for way in ("arrays", "py_dataset", "test_on_batch", *(["dataset"] if _on_tensorflow() else [])):
        logs = WAYS[way](model, x, y)
        np.testing.assert_allclose(
            [logs["kind_accuracy"], logs["tags_accuracy"]], [3 / 5, 16 / 18], rtol=1e-6
        )
        known = [2, 3, 4]
        expected = -np.log(outputs["kind"][known, best["kind"][known]]).mean()
        np.testing.assert_allclose(logs["kind_loss"], expected, rtol=1e-5)


def _on_tensorflow():
    return keras.backend.backend() == "tensorflow"
