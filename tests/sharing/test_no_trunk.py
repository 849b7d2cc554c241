"""Models whose tasks share nothing: everything but the shared trunk is there."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.report.diagram import draw_model
from mtlkeras.balancers import CAGrad
from mtlkeras.features import Features
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import Shared, Sharing
from mtlkeras.specs import spec
from tests.support import EAGERLY


@spec
class Apart(Sharing):
    """Each task has a layer of its own."""

    def __call__(self, trunk, inputs, heads):
        return Shared(
            {t: Features(vector=keras.layers.Dense(3, name=f"{t}_own")(inputs)) for t in heads}, None
        )


@spec
class Forgetful(Sharing):
    """Returns something else than a scheme must, or leaves a task out."""

    what: str = "a dict"

    def __call__(self, trunk, inputs, heads):
        return {} if self.what == "a dict" else Shared({}, None)


def test_a_scheme_that_returns_something_else_is_told():
    def build(sharing):
        return mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"a": Regression()}, sharing=sharing)

    with pytest.raises(ValueError, match=r"Forgetful must return mtlkeras.sharing.Shared.*received dict"):
        build(Forgetful())
    with pytest.raises(ValueError, match="Forgetful gives no Features for task 'a'"):
        build(Forgetful(what="nothing"))
    with pytest.raises(ValueError, match=r"a scheme such as Apart\(\.\.\.\); received the class"):
        build(Apart)


def built():
    heads = {"a": Regression(), "b": Classification(3)}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads, sharing=Apart())
    model.compile("sgd", run_eagerly=EAGERLY)
    return model


def test_it_trains_is_saved_and_drawn(tmp_path):
    model = built()
    with pytest.raises(AttributeError, match="share no trunk"):
        _ = model.trunk
    assert not hasattr(model, "trunk")
    x = np.ones((6, 4), "float32")
    assert np.isfinite(
        model.fit(x, {"a": np.ones(6), "b": np.arange(6) % 3}, verbose=0).history["loss"]
    ).all()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0)["a"], model.predict(x, verbose=0)["a"], rtol=1e-6)
    draw_model(tmp_path / "model.png", model)
    assert (tmp_path / "model.png").stat().st_size > 5000
    assert mtlkeras.transfer.copy_weights(model, again)
    with pytest.raises(ValueError, match="no attention layer"):
        mtlkeras.analysis.attention_weights(model, x)
    with pytest.raises(ValueError, match="has no trunk whose features to look at"):
        mtlkeras.analysis.representation_similarity({"one": model, "two": model}, x)


@pytest.mark.tensorflow
def test_it_exports(tmp_path):
    import tensorflow as tf

    model = built()
    model.export(tmp_path / "saved", verbose=False)
    x = np.ones((2, 4), "float32")
    loaded = tf.saved_model.load(tmp_path / "saved")
    raw = loaded.serve_raw(x)
    np.testing.assert_allclose(raw["b"], model.predict(x, verbose=0)["b"], rtol=1e-5)


@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_a_balancer_has_nothing_to_weigh(at):
    told = {"representation": "at='parameters'", "parameters": "this model has none"}[at]
    with pytest.raises(ValueError, match=told):
        built().compile("sgd", balancer=CAGrad(at=at))


def test_a_task_with_the_name_of_anothers_layer_is_told():
    heads = {"a": Regression(), "a_logits": Regression()}
    with pytest.raises(ValueError, match="'a_logits' is taken by a layer of task 'a'"):
        mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads)
