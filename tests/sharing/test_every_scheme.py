"""What holds for every sharing scheme: build, fit, missing labels, save, load, export, half precision."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras import sharing
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.report.diagram import draw_model, trunk_box
from mtlkeras.balancers import CAGrad, Uncertainty
from mtlkeras.sharing import SoftSharing
from tests.sharing.schemes import SCHEMES, marks_of
from tests.support import EAGERLY, TinyStages, all_heads, examples

# On JAX the schemes of which each stands for others: hard sharing is in nearly every test of models.
MARKS = {
    repr(scheme): [pytest.mark.slow_on_jax]
    for scheme in SCHEMES
    if type(scheme).__name__ not in ("MMoE", "CrossStitch", "Adapters")
}
CASES = [pytest.param(s, marks=marks_of(s) or MARKS.get(repr(s), []), id=repr(s)) for s in SCHEMES]
# As many tasks as it takes: each costs by the stage.
TASKS = ("kind", "size")
pytestmark = [pytest.mark.eager, pytest.mark.parametrize("scheme", CASES)]


def built(scheme, **compile_args):
    heads = {task: head for task, head in all_heads().items() if task in TASKS}
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), heads, sharing=scheme)
    compile_args.setdefault("optimizer", keras.optimizers.Adam(0.02))
    model.compile(**{"run_eagerly": EAGERLY, **compile_args})
    return model


def labelled(count, missing=0.0):
    x, y = examples(count, missing)
    return x, {task: y[task] for task in TASKS}


def test_every_scheme_is_here(scheme):
    bases = ("Shared", "Sharing")
    assert {type(s).__name__ for s in SCHEMES} == {name for name in sharing.__all__ if name not in bases}


def test_it_trains_with_missing_labels_and_comes_back_from_disk(scheme, tmp_path):
    x, y = labelled(24, missing=0.3)
    model = built(scheme)
    logs = model.fit(x, y, batch_size=24, epochs=3, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert logs["loss"][-1] < logs["loss"][0]
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert again.heads == model.heads
    assert again.trunk.name == model.trunk.name == "trunk"
    for task, outputs in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(again.predict(x, verbose=0)[task], outputs, rtol=1e-5, atol=1e-6)
    clone = keras.models.clone_model(model)
    assert clone.trunk.count_params() == model.trunk.count_params()


def test_a_head_may_sit_at_a_tap_and_the_trunk_be_frozen(scheme):
    heads = {"end": mtlkeras.heads.Regression(), "inside": mtlkeras.heads.Classification(3, at="conv")}
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), heads, sharing=scheme)
    model.trunk.trainable = False
    model.compile("sgd", run_eagerly=EAGERLY)
    before = model.trunk.get_weights()
    x, y = examples(8)
    model.fit(x, {"end": y["size"][:, :1], "inside": y["kind"]}, verbose=0)
    for old, new in zip(before, model.trunk.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert model.trainable_weights


def test_a_balancer_weighs_the_gradients_of_what_is_shared(scheme):
    x, y = labelled(12, missing=0.2)
    if isinstance(scheme, SoftSharing):
        with pytest.raises(ValueError, match="parameters that several tasks share; this model has none"):
            built(scheme, balancer=CAGrad(at="parameters"))
        model = built(scheme, balancer=Uncertainty())
    else:
        model = built(scheme, balancer=CAGrad(at="parameters"))
        assert {id(v) for v in model.balancing.shared} <= {id(v) for v in model.trunk.trainable_weights}
    logs = model.fit(x, y, batch_size=6, epochs=2, verbose=0).history
    assert np.isfinite([logs[f"{task}_weight"] for task in model.heads]).all()


def test_weights_are_copied_and_it_is_drawn(scheme, tmp_path):
    one, two = built(scheme), built(scheme)
    assert mtlkeras.transfer.copy_weights(one, two)
    for a, b in zip(one.trunk.get_weights(), two.trunk.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    draw_model(tmp_path / "model.png", one)
    assert (tmp_path / "model.png").stat().st_size > 5000
    assert any("TinyStages" in line for line in trunk_box(one).lines)


def test_mixed_precision(scheme):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = built(scheme)
        x, y = labelled(12)
        assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
        assert {str(v.dtype) for v in model.predict(x, verbose=0).values()} == {"float32"}
    finally:
        keras.config.set_dtype_policy("float32")


def test_it_is_tuned_and_written_down(scheme):
    assert type(scheme).tune(HyperParameters()) == type(scheme)()
    assert type(scheme).from_config(scheme.get_config()) == scheme
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scheme)) == scheme


@pytest.mark.tensorflow
@pytest.mark.eager(False)
def test_it_exports(scheme, tmp_path):
    import tensorflow as tf

    model = built(scheme)
    model.export(tmp_path / "saved", verbose=False)
    x, _ = examples(3)
    loaded = tf.saved_model.load(tmp_path / "saved")
    raw = loaded.serve_raw(x)
    for task, outputs in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(raw[task], outputs, rtol=1e-5, atol=1e-6)
