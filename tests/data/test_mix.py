"""A mix of data sets gives what its schedule promises, epoch after epoch, and goes on where it was killed."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.data import (
    Alternating,
    Annealed,
    ByLoss,
    Proportional,
    Temperature,
    Weighted,
    load,
    mix,
    mixture,
    set_epoch,
)
from mtlkeras.heads import Classification, Regression
from mtlkeras.training import Backup

COUNTS = {"a": 10, "b": 23}  # Batches of 4: 3 and 6, the last ones smaller.
START = {"a": 0, "b": 100}
PETS = {"pet": mtlkeras.data.Label("pet", classes=("cat", "dog")), "age": "age"}
SCHEDULES = {
    "alternating": Alternating(),
    "proportional": Proportional(),
    "temperature": Temperature(3.0, maximum=20),
    "weighted": Weighted({"a": 5, "b": 1}),
    "annealed": Annealed(Proportional(), Weighted({"a": 1, "b": 1}), epochs=2),
}


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, size=4):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return self.x[rows], {task: y[rows] for task, y in self.y.items()}

    @property
    def num_batches(self):
        return -(-len(self.x) // self.size)


def arrays(name):
    x = START[name] + np.arange(COUNTS[name], dtype="float32")[:, None]
    labels = {"a": {"kind": np.arange(10) % 3}, "b": {"size": np.arange(23, dtype="float32")}}
    return x, labels[name]


def source(name, form, **options):
    import tensorflow as tf

    x, y = arrays(name)
    if form == "arrays":
        return x, y
    if form == "batches":
        return Batches(x, y)
    if form == "plain":
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    return load((x, y), {task: task for task in y}, batch_size=4, shuffle=form == "shuffled", **options)


def mixed(form, schedule, **options):
    options = {"batch_size": 4, "seed": 5, **options}
    return mix({name: source(name, form) for name in COUNTS}, schedule, **options)


def epoch_of(dataset):
    """The batches of the next epoch: their inputs, as lists."""
    if hasattr(dataset, "element_spec"):
        return [x[:, 0].astype(int).tolist() for x, _ in dataset.as_numpy_iterator()]
    batches = [dataset[i][0][:, 0].astype(int).tolist() for i in range(dataset.num_batches)]
    dataset.on_epoch_end()
    return batches


def assert_each_once_before_any_twice(seen, count):
    passes = [seen[i : i + count] for i in range(0, len(seen), count)]
    whole = [p for p in passes if len(p) == count]
    assert all(len(set(p)) == len(p) for p in passes)
    assert len({tuple(p) for p in whole}) == len(whole)  # Never in the same order.


WITHIN = ("epoch", "batch")
# Every schedule with sources in memory; pipelines take longer to set up.
CASES = [
    ("arrays", "alternating", "epoch", "all"),
    *(("arrays", name, within, "all") for name in list(SCHEDULES)[1:] for within in WITHIN),
    *(("batches", name, within, "first") for name in ("temperature", "weighted") for within in WITHIN),
    ("shuffled", "temperature", "epoch", "all"),
    pytest.param("shuffled", "weighted", "batch", 3, marks=pytest.mark.tensorflow),
    *(
        pytest.param("shuffled", name, "epoch", "all", marks=pytest.mark.slow)
        for name in SCHEDULES
        if name != "temperature"
    ),
    pytest.param("shuffled", "temperature", "batch", "all", marks=pytest.mark.slow),
    pytest.param("plain", "weighted", "epoch", "first", marks=pytest.mark.slow),
    pytest.param("plain", "annealed", "batch", 5, marks=pytest.mark.tensorflow),
]


@pytest.mark.parametrize(("form", "name", "within", "stop"), CASES)
def test_counts_are_as_promised_and_a_killed_run_goes_on(form, name, within, stop):
    data = mixed(form, SCHEDULES[name], within=within, stop=stop)
    plan = mixture(data)
    seen, epochs, sums = {"a": [], "b": []}, [], np.zeros(2)
    quotas = np.zeros(2)
    for epoch in range(4):
        batches = epoch_of(data)
        epochs.append(batches)
        assert len(batches) == plan.steps
        found = {name: [i for b in batches for i in b if (i > 99) == (name == "b")] for name in COUNTS}
        assert {n: len(v) for n, v in found.items()} == plan.examples(epoch)
        for n, v in found.items():
            seen[n] += v
        # Units, and what the schedule says of them, counted from the batches alone.
        owners = [[min(i // 100, 1) for i in b] for b in batches]
        owners = [o for b in owners for o in b] if within == "batch" else [b[0] for b in owners]
        if within == "epoch":
            assert all(len({i // 100 for i in b}) == 1 for b in batches)
        shares = SCHEDULES[name].shares(COUNTS, epoch)
        rates = np.array([shares["a"], shares["b"]])
        if within == "epoch" and name != "alternating":
            rates /= [10 / 3, 23 / 6]
        sums += np.bincount(owners, minlength=2)
        quotas += rates / rates.sum() * len(owners)
        assert np.abs(sums - quotas).max() <= 1.0 + 1e-5
        if name == "alternating":
            assert all(a != b for a, b in zip(owners, owners[1:], strict=False))
    for n, v in seen.items():
        assert_each_once_before_any_twice(v, COUNTS[n])
    if stop == "all":
        assert all(len(set(seen[n])) == COUNTS[n] for n in COUNTS)
    resumed = mixed(form, SCHEDULES[name], within=within, stop=stop)
    assert set_epoch(resumed, 2)
    assert epoch_of(resumed) == epochs[2] and epoch_of(resumed) == epochs[3]
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("form", "within"),
    [
        ("arrays", "epoch"),
        ("arrays", "batch"),
        ("batches", "batch"),
        pytest.param("shuffled", "epoch", marks=pytest.mark.tensorflow),
        pytest.param("plain", "batch", marks=pytest.mark.slow),
    ],
)
def test_evaluation_takes_each_example_once_and_in_one_order(form, within):
    form = "ordered" if form == "shuffled" else form
    data = mixed(form, Proportional(), shuffle=False, within=within)
    first, second = epoch_of(data), epoch_of(data)
    assert first == second
    flat = [i for batch in first for i in batch]
    assert [i for i in flat if i < 100] == list(range(10))
    assert [i for i in flat if i > 99] == list(range(100, 123))


@pytest.mark.parametrize("form", [pytest.param("shuffled", marks=pytest.mark.tensorflow), "batches"])
def test_labels_that_a_source_lacks_are_missing(form):
    for within in ("epoch", "batch"):
        data = mixed(form, Proportional(), within=within)
        numbers = range(mixture(data).steps)
        for x, y in [data[i] for i in numbers] if form == "batches" else data.as_numpy_iterator():
            of_a = x[:, 0] < 100
            wanted = np.where(of_a, x[:, 0] % 3, mtlkeras.MISSING)
            np.testing.assert_array_equal(y["kind"], wanted)
            np.testing.assert_array_equal(y["size"], np.where(of_a, np.nan, x[:, 0] - 100))
            assert y["kind"].dtype.kind == "i" and y["size"].dtype == np.float32


def model_of(inputs=(1,)):
    keras.utils.set_random_seed(1)
    heads = {"kind": Classification(3), "size": Regression()}
    model = mtlkeras.build_model(inputs, mtlkeras.trunks.MLP(width=4, depth=1), heads)
    return model


@pytest.mark.parametrize("form", ["shuffled", pytest.param("arrays", marks=pytest.mark.slow)])
def test_a_step_is_traced_once_and_the_log_has_the_counts(form):
    model, traces = model_of(), []
    trunk_call = model.trunk.call
    model.trunk.call = lambda *args, **kwargs: traces.append(1) or trunk_call(*args, **kwargs)
    model.compile("sgd")
    data = mixed(form, Weighted({"a": 1, "b": 1}), within="epoch")
    valid = mixed("ordered" if form == "shuffled" else form, Proportional(), shuffle=False)
    before = len(traces)
    logs = model.fit(data, epochs=2, validation_data=valid, verbose=0).history
    if keras.backend.backend() == "tensorflow":
        assert len(traces) - before <= 4  # A symbolic build, the step, the evaluation.
    plan = mixture(data)
    assert logs["a_examples"] == [plan.examples(0)["a"], plan.examples(1)["a"]]
    assert logs["b_examples"] == [plan.examples(0)["b"], plan.examples(1)["b"]]
    assert np.isfinite(logs["val_kind_loss"]).all() and np.isfinite(logs["val_size_loss"]).all()
    model.fit(data, epochs=1, verbose=0)
    assert plan.last_epoch == 2  # A second fit goes on.


@pytest.mark.parametrize("form", [pytest.param("shuffled", marks=pytest.mark.slow), "arrays"])
def test_a_run_that_is_killed_goes_on_bit_by_bit_by_its_losses(form, tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.params["epochs"] == 9 and self.seen == 2 and batch == 1:
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.seen = epoch

    def trained(path, epochs):
        model = model_of()
        model.compile(keras.optimizers.SGD(0.01))
        data = mixed(form, ByLoss(Weighted({"a": 1, "b": 1}), power=3.0), stop=7)
        valid = mixed("ordered" if form == "shuffled" else form, Proportional(), shuffle=False)
        backup = Backup(path, [], data)
        fit = {"initial_epoch": backup.epoch, "callbacks": [Killed(), backup], "verbose": 0}
        history = model.fit(data, epochs=epochs, validation_data=valid, **fit).history
        return model.get_weights(), history, mixture(data)

    weights, history, plan = trained(tmp_path / "whole.npz", 4)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "part.npz", 9)
    again, joined, other = trained(tmp_path / "part.npz", 4)
    for a, b in zip(weights, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert joined == history and plan.losses == other.losses
    ratios = [history["val_kind_loss"][i] / history["val_kind_loss"][0] for i in range(4)]
    others = [history["val_size_loss"][i] / history["val_size_loss"][0] for i in range(4)]
    wanted = ratios[2] ** 3 / (ratios[2] ** 3 + others[2] ** 3)
    assert plan.shares(3)["a"] == pytest.approx(min(max(wanted, 0.05), 0.95))
    assert plan.shares(3) != plan.shares(0)


def test_losses_must_be_there_to_be_followed():
    model = model_of()
    model.compile("sgd")
    with pytest.raises(ValueError, match="give fit validation_data="):
        model.fit(mixed("arrays", ByLoss()), verbose=0)
    with pytest.raises(ValueError, match=r"mtlkeras.data.mix\(..., stop=3\)"):
        model.fit(mixed("arrays", Proportional()), steps_per_epoch=3, verbose=0)


SENTENCES = {"a": [1, 4, 2, 5, 3], "b": [7, 2, 6]}  # Numbers of tokens.


def sentences(name, tmp_path):
    path = tmp_path / f"{name}.jsonl"
    rows = [f'{{"words": {["w"] * n}, "tags": {["O"] * n}}}\n' for n in SENTENCES[name]]
    path.write_text("".join(rows).replace("'", '"'))
    tags = mtlkeras.data.Label("tags", kind="tags", classes=("O", "B-x"))
    return load(path, {f"{name}_tags": tags}, "words", batch_size=2, shuffle=True)


@pytest.mark.tensorflow
@pytest.mark.parametrize("within", [pytest.param("epoch", marks=pytest.mark.slow), "batch"])
def test_sequences_of_different_length_are_padded_and_masked(within, tmp_path):
    data = mix({name: sentences(name, tmp_path) for name in "ab"}, within=within)
    lengths = {"a": [], "b": []}
    for x, y in data.as_numpy_iterator():
        is_token = x != b""
        for name in "ab":
            assert y[f"{name}_tags"].shape == x.shape
            is_tag = y[f"{name}_tags"] == 0
            of_name = is_tag.any(1)
            np.testing.assert_array_equal(is_tag[of_name], is_token[of_name])
            lengths[name] += is_token.sum(1)[of_name].tolist()
    assert {n: sorted(v) for n, v in lengths.items()} == {n: sorted(v) for n, v in SENTENCES.items()}
    assert data.element_spec[0].shape.as_list() == [None, None]


def tables(**options):
    """Two tables with other inputs each."""
    x = np.arange(12, dtype="float32").reshape(6, 2) + 1
    a = load(({"left": x}, {"kind": np.arange(6) % 3}), {"kind": "kind"}, ["left"], batch_size=4)
    b = load(({"right": x[:, :1]}, {"size": x[:, 0]}), {"size": "size"}, ["right"], batch_size=4)
    return mix({"a": a, "b": b}, **options)


@pytest.mark.tensorflow
@pytest.mark.parametrize("within", ["epoch", pytest.param("batch", marks=pytest.mark.slow)])
def test_inputs_that_a_source_lacks_are_filled_and_train_no_head(within):
    data = tables(within=within, fill={"right": 7.0})
    for x, y in data.as_numpy_iterator():
        of_a = y["kind"] != mtlkeras.MISSING
        np.testing.assert_array_equal(of_a, np.isnan(y["size"]))
        assert (x["right"][of_a] == 7.0).all() and (x["left"][~of_a] == 0.0).all()
        assert (x["left"][of_a] > 0).all() and x["left"].shape[1:] == (2,)
    inputs = {"left": keras.Input((2,), name="left"), "right": keras.Input((1,), name="right")}
    model = model_of(inputs)
    model.compile("sgd")
    logs = model.fit(data, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize("within", ["epoch", "batch"])
def test_the_source_of_each_example_is_an_input(within):
    x = np.arange(8, dtype="float32").reshape(4, 2)
    sources = {name: ({"x": x + 10 * k}, {"y": np.arange(4.0)}) for k, name in enumerate(("a", "b"))}
    data = mix(sources, within=within, batch_size=4, source_input="source")
    seen = [data[i][0] for i in range(data.num_batches)]
    for batch in seen:
        np.testing.assert_array_equal(batch["source"], batch["x"][:, 0] >= 10)
        assert batch["source"].dtype == "int32"
    assert sum(len(batch["source"]) for batch in seen) == 8
    with pytest.raises(ValueError, match="'x' is the name of an input"):
        mix(sources, source_input="x")
    with pytest.raises(ValueError, match="a name for an input; received 3"):
        mix(sources, source_input=3)
    with pytest.raises(ValueError, match="give all sources dicts"):
        mix({"a": (x, {"y": np.arange(4.0)})}, source_input="source")


@pytest.mark.tensorflow
def test_a_pipeline_tells_the_source_and_fit_warns_of_shared_batch_statistics():
    x = np.arange(8, dtype="float32").reshape(4, 2)
    sources = {
        name: load(({"x": x}, {"y": np.arange(4.0)}), {"y": "y"}, ["x"], batch_size=4) for name in "ab"
    }
    data = mix(sources, source_input="source")
    told = [set(batch["source"].tolist()) for batch, _ in data.as_numpy_iterator()]
    assert sorted(told, key=min) == [{0}, {1}]
    inputs = {"x": keras.Input((2,), name="x"), "source": keras.Input((), dtype="int32", name="source")}
    heads = {"y": Regression()}
    for normalization, warns in (("batch", True), ("batch_per_source", False)):
        options = {"sources": 2} if normalization == "batch_per_source" else {}
        given = inputs if options else {"x": inputs["x"]}
        trunk = mtlkeras.trunks.MLP(depth=1, width=2, normalization=normalization, **options)
        model = mtlkeras.build_model(given, trunk, heads)
        model.compile("sgd", run_eagerly=True)
        context = pytest.warns(UserWarning, match="batch_per_source") if warns else contextlib.nullcontext()
        with context:
            model.fit(mix(sources, source_input="source" if options else None), verbose=0)


def test_sample_weights_are_one_where_a_source_has_none():
    x, y = arrays("a")
    weighted = (x, y, np.full(10, 0.5, "float32"))
    data = mix({"a": weighted, "b": source("b", "arrays")}, within="batch", batch_size=4)
    for i in range(data.num_batches):
        x, _, weights = data[i]
        np.testing.assert_array_equal(weights["kind"], np.where(x[:, 0] < 100, 0.5, 1.0))
        np.testing.assert_array_equal(weights["size"], 1.0)


@pytest.mark.tensorflow
def test_bare_labels_are_of_the_task_that_the_source_is_named_for():
    import tensorflow as tf

    data = mix(
        {
            "kind": tf.data.Dataset.from_tensor_slices((np.ones((5, 1)), np.zeros(5, "uint8"))).batch(2),
            "size": tf.data.Dataset.from_tensor_slices((np.ones((5, 1)), np.zeros(5))).batch(2),
        },
        within="batch",
    )
    labels = data.element_spec[1]
    assert {task: one.dtype.name for task, one in labels.items()} == {"kind": "int32", "size": "float64"}


@pytest.mark.tensorflow
def test_sources_without_end_or_with_uneven_batches():
    import tensorflow as tf

    x, y = arrays("b")
    uneven = tf.data.Dataset.from_tensor_slices((x, y)).window(5, drop_remainder=False)
    uneven = uneven.flat_map(lambda x, y: tf.data.Dataset.zip(x, {"size": y["size"]}).batch(4))
    endless = source("a", "shuffled").repeat()
    data = mix({"a": endless, "b": uneven}, Weighted({"a": 1, "b": 1}), stop=9, seed=1)
    seen = {"a": [], "b": []}
    for _ in range(3):
        for batch in epoch_of(data):
            seen["a" if batch[0] < 100 else "b"] += batch
    for name, found in seen.items():
        assert_each_once_before_any_twice(found, COUNTS[name])


@pytest.mark.tensorflow
def test_mixed_batches_are_taken_apart_by_task():
    found = {}
    for apart in (False, True):
        model = model_of()
        balancer = mtlkeras.balancers.PCGrad(at="parameters", one_task_each=apart, seed=1)
        model.compile(keras.optimizers.SGD(0.01), balancer=balancer, run_eagerly=True)
        model.fit(mixed("arrays", Temperature(), within="batch"), verbose=0)
        found[apart] = model.get_weights()
    for whole, apart in zip(found[False], found[True], strict=True):
        np.testing.assert_allclose(apart, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_mix_of_mixes_and_of_changed_data_goes_on():
    def made():
        inner = mixed("shuffled", Proportional())
        x, y = arrays("a")
        other = load((x + 1000, {"other": y["kind"]}), {"other": "other"}, batch_size=4, shuffle=True)
        other = mtlkeras.data.augment(other, lambda x, y, seed: (x, y), seed=1)
        return mix({"inner": inner, "other": other}, Weighted({"inner": 1, "other": 1}), stop="first")

    first, resumed = made(), made()
    epochs = [epoch_of(first) for _ in range(3)]
    set_epoch(resumed, 2)
    assert epoch_of(resumed) == epochs[2]
    assert mixture(first).sources["inner"].tasks == ("kind", "size")


def test_describe_tells_of_all_sources():
    one = load(({"x": np.zeros((3, 2))}, {"pet": ["cat", "dog", ""], "age": [1.0, 2.0, 3.0]}), PETS, ["x"])
    other = load(({"x": np.zeros((2, 2))}, {"pet": ["dog", "cat"]}), {"pet": PETS["pet"]}, ["x"])
    report = mtlkeras.data.describe(mix({"a": one, "b": other}))
    assert (report.examples, report.split) == (5, None)
    pet, age = report.tasks["pet"], report.tasks["age"]
    assert (pet.labelled, pet.missing, dict(pet.counts)) == (4, 1, {"cat": 2, "dog": 2})
    assert (age.labelled, age.missing, age.mean) == (3, 2, 2.0)


def test_ids_of_two_sources_stand_for_the_same_classes():
    one = load(({"x": np.zeros((2, 2))}, {"pet": ["cat", "dog"]}), {"pet": "pet"}, ["x"])
    other = load(({"x": np.zeros((2, 2))}, {"pet": ["dog", "fox"]}), {"pet": "pet"}, ["x"])
    with pytest.raises(
        ValueError, match="'a' and 'b' have other classes of task 'pet': class 0 is 'cat' and 'dog'"
    ):
        mix({"a": one, "b": other})
