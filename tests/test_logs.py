"""Names in logs, callbacks that look for them, and what travels through save, load and clone."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification
from tests.support import all_heads, examples, tiny_model

pytestmark = pytest.mark.eager

EXPECTED = {
    "loss", "kind_loss", "kind_accuracy", "size_loss", "size_mae", "marks_loss", "marks_accuracy",
    "grade_loss", "grade_accuracy", "grade_mae",
}  # fmt: skip


def test_names_of_the_logs():
    x, y = examples()
    history = tiny_model().fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == EXPECTED | {f"val_{name}" for name in EXPECTED}


def test_a_single_head_has_the_same_names():
    x, y = examples()
    model = tiny_model({"kind": Classification(3)})
    history = model.fit(x, {"kind": y["kind"]}, validation_split=0.2, verbose=0).history
    names = {"loss", "kind_loss", "kind_accuracy"}
    assert set(history) == names | {f"val_{name}" for name in names}
    assert set(model.predict(x, verbose=0)) == {"kind"}
    assert len(model.evaluate(x, y["kind"], verbose=0)) == 3  # A bare array will do for one task.


DIRECTIONS = {
    "val_kind_accuracy": "up", "val_kind_loss": "down", "val_size_mae": "down", "val_grade_mae": "down"
}  # fmt: skip


def test_stock_callbacks_know_the_direction(tmp_path):
    x, y = examples()
    callbacks = {
        monitor: [
            keras.callbacks.EarlyStopping(monitor=monitor),
            keras.callbacks.ModelCheckpoint(tmp_path / f"{monitor}.keras", monitor, save_best_only=True),
            keras.callbacks.ReduceLROnPlateau(monitor=monitor),
        ]
        for monitor in DIRECTIONS
    }
    tiny_model().fit(x, y, validation_data=(x, y), verbose=0, callbacks=sum(callbacks.values(), []))
    for monitor, better in DIRECTIONS.items():
        improves = {"up": (1.0, 0.0), "down": (0.0, 1.0)}[better]
        for callback in callbacks[monitor]:
            assert callback.monitor_op(*(keras.ops.convert_to_tensor(v) for v in improves))
        assert (tmp_path / f"{monitor}.keras").exists()


def test_every_metric_has_a_direction():
    model = tiny_model()
    directions = {m.name: m._direction for m in model._compile_metrics.metrics}
    assert set(directions) == EXPECTED - {"loss"}
    assert {n for n, d in directions.items() if d == "up"} == {
        "kind_accuracy", "marks_accuracy", "grade_accuracy"
    }  # fmt: skip


def test_metrics_that_would_share_a_name_are_refused():
    heads = {"a": Classification(2), "a_b": Classification(2)}
    model = tiny_model(heads, compiled=False)
    with pytest.raises(ValueError, match="logged as 'a_b_loss'"):
        model.compile("sgd", metrics={"a": [keras.metrics.MeanSquaredError(name="b_loss")]})
    with pytest.raises(ValueError, match="logged as 'val_a_loss'"):
        tiny_model({"a": Classification(2), "val_a": Classification(2)})


def test_save_load_keeps_outputs_names_optimizer_and_specs(tmp_path):
    x, y = examples(missing=0.2)
    model = tiny_model(
        loss_weights={"kind": 2.0}, metrics={"size": ["rmse", "mae"]}, optimizer="adam", loss={"size": "mae"}
    )
    model.adapt(y)
    model.fit(x, y, verbose=0)
    for round_trip in range(3):  # Names must not grow on each reload.
        path = tmp_path / f"model_{round_trip}.keras"
        model.save(path)
        loaded = keras.saving.load_model(path, safe_mode=True)
        expected, got = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, loaded))
        assert expected == got
        model = loaded
    assert isinstance(model, mtlkeras.MultiTaskModel)
    assert model.heads == all_heads()
    assert int(model.optimizer.iterations) == 1
    assert model.trunk.name == "trunk"
    model.fit(x, y, verbose=0)
    assert int(model.optimizer.iterations) == 2


def test_saved_before_a_first_step_it_loads_without_a_warning(tmp_path):
    tiny_model(optimizer="adam").save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").optimizer.built


def test_clone_keeps_class_heads_and_trunk():
    clone = keras.models.clone_model(tiny_model())
    assert isinstance(clone, mtlkeras.MultiTaskModel)
    assert clone.heads == all_heads()
    clone.compile("sgd")
    x, y = examples()
    assert set(clone.fit(x, y, verbose=0).history) == EXPECTED


def test_constant_heads_get_their_own_metrics():
    """Guards against metrics that are fed another head's tensors (keras#22625)."""
    names = [f"t{i}" for i in (3, 1, 2, 0)]
    model = tiny_model({name: Classification(4) for name in names})
    for i, name in enumerate(names):
        model.get_layer(f"{name}_logits").set_weights([np.zeros((4, 4)), 50.0 * np.eye(4)[i]])
    x = examples(12)[0]
    y = {name: np.where(np.arange(12) < 3 * (i + 1), i, (i + 1) % 4) for i, name in enumerate(names)}
    logs = model.evaluate(x, y, verbose=0, return_dict=True, batch_size=5)
    assert {n: round(logs[f"{n}_accuracy"], 6) for n in names} == {
        n: 0.25 * (i + 1) for i, n in enumerate(names)
    }


def test_trunk_can_be_frozen_saved_and_used_in_another_model(tmp_path):
    x, y = examples()
    model = tiny_model()
    model.trunk.trainable = False
    model.compile("sgd")
    before = model.trunk.get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(before, model.trunk.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.trunk.save(tmp_path / "trunk.keras")
    trunk = keras.saving.load_model(tmp_path / "trunk.keras")
    np.testing.assert_allclose(trunk.predict(x, verbose=0), model.trunk.predict(x, verbose=0), rtol=1e-6)
    other = mtlkeras.build_model((6, 6, 1), trunk, {"other": Classification(5)})
    other.compile("sgd")
    other.fit(x, {"other": np.zeros(20, "int32")}, verbose=0)
    assert other.trunk.get_layer("conv") is trunk.get_layer("conv")


def test_a_truncated_file_is_an_error(tmp_path):
    path = tmp_path / "model.keras"
    tiny_model().save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(Exception, match="zip"):
        keras.saving.load_model(path)


def test_seeded_runs_repeat():
    x, y = examples(missing=0.2)

    def run():
        keras.utils.set_random_seed(7)
        keras.utils.clear_session()
        return tiny_model().fit(x, y, epochs=2, verbose=0).history

    assert run() == run()


def test_predict_labels_gives_what_a_person_wants():
    x, _ = examples(5)
    model = tiny_model()
    labels, outputs = model.predict_labels(x, verbose=0), model.predict(x, verbose=0)
    assert labels["kind"].tolist() == [("ant", "bee", "cat")[i] for i in outputs["kind"].argmax(-1)]
    np.testing.assert_array_equal(labels["size"], outputs["size"])
    assert labels["marks"][0] == tuple(
        n for n, p in zip(("red", "blue"), outputs["marks"][0], strict=True) if p >= 0.5
    )
    assert set(labels["grade"]) <= {"none", "low", "middle", "high"}
