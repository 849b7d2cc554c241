"""Training in phases: what is frozen stays bit by bit, and all else is as in one training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._model.parts import Parts
from mtlkeras.heads import Classification, Regression
from mtlkeras.training import Phase, fit_phases
from tests.support import EAGERLY, TinyStages

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")
Y = {"a": RNG.normal(size=24).astype("float32"), "b": RNG.integers(0, 3, 24)}
SGD = keras.optimizers.SGD


def build(optimizer="sgd", trunk=None, **arguments):
    keras.utils.set_random_seed(0)
    trunk = trunk or mtlkeras.trunks.MLP(depth=2, width=4, normalization="batch")
    model = mtlkeras.build_model((4,), trunk, {"a": Regression(), "b": Classification(3)})
    model.compile(optimizer, run_eagerly=EAGERLY, **arguments)
    return model


def trained(model, phases, **arguments):
    arguments = {"verbose": 0, "batch_size": 24, "shuffle": False, **arguments}
    return fit_phases(model, (X, Y), phases, **arguments).history


def values(layers):
    return [np.array(w) for layer in layers for w in layer.get_weights()]


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


class Watch(keras.callbacks.Callback):
    """Keeps the weights of each stage and of the heads after each epoch."""

    def __init__(self, model):
        super().__init__()
        parts = Parts(model)
        self.parts = {**parts.stages, "heads": parts.heads}
        self.seen = [self.now()]

    def now(self):
        return {name: values(layers) for name, layers in self.parts.items()}

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.now())

    def moved(self, epoch):
        before, after = self.seen[epoch : epoch + 2]
        return {name for name in after if any(moved(before[name], after[name]))}


@pytest.mark.slow_on_jax
def test_the_trunk_is_bit_identical_through_a_phase_of_the_heads():
    model = build(keras.optimizers.Adam(0.1), balancer=mtlkeras.balancers.PCGrad(at="parameters"))
    watch = Watch(model)
    phases = [Phase("all"), Phase("heads", epochs=2, name="fine"), Phase("b", optimizer=SGD(0.1))]
    history = trained(model, phases, callbacks=[watch], validation_data=(X, Y))
    assert history["phase"] == ["all", "fine", "fine", "b"]
    assert len(history["val_b_accuracy"]) == len(history["loss"]) == 4
    assert np.isnan(history["a_weight"]).tolist() == [False, True, True, True]  # Nothing shared trains.
    assert watch.moved(0) == {"hidden_1", "hidden_2", "heads"}
    assert watch.moved(1) == watch.moved(2) == watch.moved(3) == {"heads"}
    names = [layer.name for layer in watch.parts["heads"] for _ in layer.get_weights()]
    after = dict(zip(names, moved(watch.seen[3]["heads"], watch.seen[4]["heads"]), strict=True))
    assert after["b_logits"] and not after["a_logits"]


@pytest.mark.slow_on_jax
def test_afterwards_flags_and_compile_are_as_before():
    optimizer = keras.optimizers.Adam(0.1)
    balancer = mtlkeras.balancers.Uncertainty()
    model = build(optimizer, balancer=balancer, loss_weights={"a": 0.5}, metrics={"b": ["accuracy"]})
    model.trunk.get_layer("hidden_1").trainable = False
    count = len(model.trainable_variables)
    phases = [Phase("all", loss_weights={"b": 2.0}, balancer=mtlkeras.balancers.Fixed()), Phase("trunk")]
    before = values([model.trunk.get_layer("hidden_1")])
    trained(model, phases)
    assert not any(moved(before, values([model.trunk.get_layer("hidden_1")])))  # It was frozen, and stays.
    assert model.optimizer is optimizer and not optimizer.built
    assert len(model.trainable_variables) == count
    assert not model.trunk.get_layer("hidden_1").trainable and model.trunk.get_layer("hidden_2").trainable
    assert model.balancing.balancer == balancer
    assert model.get_compile_config()["loss_weights"] == {"a": 0.5}
    model.fit(X, Y, verbose=0)


@pytest.mark.slow_on_jax
def test_flags_are_put_back_after_an_error():
    model = build()
    flags = [layer.trainable for layer in Parts(model).all]

    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert not self.model.trunk.get_layer("hidden_1").trainable
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(model, [Phase("heads")], callbacks=[Breaks()])
    assert [layer.trainable for layer in Parts(model).all] == flags
    with pytest.raises(ValueError, match="Phase 'c': 'c' is no part"):
        trained(model, [Phase("heads"), Phase("c")])
    assert [layer.trainable for layer in Parts(model).all] == flags


@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(SGD(0.1), marks=pytest.mark.slow_on_jax), keras.optimizers.AdamW(0.1, weight_decay=0.1)],
)
def test_steps_are_scaled_stage_by_stage(optimizer):
    """One step is linear in the rate, that of Adam too, and so is decoupled decay."""
    steps = []
    for decay in (None, 0.5):
        # Behind a batch norm the gradient of a bias is rounding, which Adam makes a step of.
        model = build(optimizer, trunk=mtlkeras.trunks.MLP(depth=2, width=4))
        watch = Watch(model)
        trained(model, [Phase(optimizer=optimizer, stage_decay=decay)], callbacks=[watch])
        before, after = watch.seen
        steps.append({n: [b - a for a, b in zip(before[n], after[n], strict=True)] for n in after})
    whole, scaled = steps
    for name, rate in {"hidden_1": 0.25, "hidden_2": 0.5, "heads": 1.0}.items():
        trains = [w.trainable for layer in watch.parts[name] for w in layer.weights]
        assert any(trains)
        for one, other, is_trained in zip(whole[name], scaled[name], trains, strict=True):
            if is_trained:
                np.testing.assert_allclose(other, rate * one, rtol=2e-3, atol=1e-6)


@pytest.mark.slow_on_jax
def test_stages_unfreeze_one_by_one():
    model = build()
    watch = Watch(model)
    history = trained(model, [Phase(epochs=4, unfreeze_every=1, name="tune")], callbacks=[watch])
    assert history["phase"] == ["tune"] * 4
    found = [watch.moved(epoch) for epoch in range(4)]
    assert found[:2] == [{"heads"}, {"heads", "hidden_2"}]
    assert found[2] == found[3] == {"heads", "hidden_1", "hidden_2"}


@pytest.mark.parametrize("keeps", [True, pytest.param(False, marks=pytest.mark.slow_on_jax)])
def test_an_optimizer_that_goes_on_trains_as_in_one_phase(keeps):
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    models = [build(keras.optimizers.Adam(rate)) for _ in range(2)]
    trained(models[0], [Phase(epochs=2)])
    trained(models[1], [Phase(), Phase(keep_optimizer=keeps)])
    assert keeps is not any(moved(*(model.get_weights() for model in models)))


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self._at = at

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._at:
            raise Killed


def resumable(path, at=None):
    trunk = mtlkeras.trunks.MLP(depth=1, width=4, dropout=0.5)
    model = build(keras.optimizers.Adam(0.05), balancer=mtlkeras.balancers.RLW(), trunk=trunk)
    phases = [
        Phase("all"),
        Phase("heads", epochs=4, patience=1, monitor="b_accuracy", balancer=mtlkeras.balancers.RLW(seed=3)),
        Phase("all", epochs=2, keep_optimizer=True, learning_rate=0.01),
    ]
    history = trained(model, phases, callbacks=[Kill(at)], backup=path, seed=5)
    return model, history


@pytest.mark.slow_on_jax
def test_a_training_killed_in_any_phase_ends_as_one_that_was_not(tmp_path):
    whole, history = resumable(tmp_path / "whole.npz")
    assert 4 <= len(history["loss"]) < 7  # The second phase stops early.
    path = tmp_path / "parts.npz"
    for at in (1, 2, len(history["loss"]) - 1):  # Between two phases, and in two.
        with pytest.raises(Killed):
            resumable(path, at)
    for _ in range(2):  # When all is done, too.
        resumed, again = resumable(path)
        assert str(again) == str(history)  # There are NaNs.
        for mine, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="state of other phases"):
        trained(build(), [Phase("heads")], backup=path)


@pytest.mark.slow_on_jax
def test_data_have_names():
    model = build()
    named = {"whole": (X, Y), "few": (X[:6], {"b": Y["b"][:6]}, np.ones(6))}
    phases = [Phase(data="whole"), Phase("b", data="few", patience=1, monitor="val_b_accuracy")]
    history = fit_phases(model, named, phases, {"few": (X, Y)}, verbose=0).history
    assert np.isnan(history["val_loss"]).tolist() == [True, False]


@pytest.mark.slow_on_jax
def test_parts_of_a_model():
    heads = {"a": Regression(hidden=(3,)), "a_b": Classification(3, after=("a",))}
    scheme = mtlkeras.sharing.CrossStitch()
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), heads, scheme)
    model = keras.models.clone_model(model)  # What is found is found in what was loaded, too.
    parts = Parts(model)
    assert [layer.name for layer in parts.stages["last"]] == ["last", "last"]
    own = {task: {layer.name for layer in found} for task, found in parts.by_task.items()}
    assert {"a", "a_logits", "a_hidden_1"} <= own["a"] and "a_b" in own["a_b"]
    assert not own["a"] & own["a_b"]
    found = parts.find(("conv*",), "here")
    assert {layer.name for layer in found} == {"conv", "conv_stitch"}
    assert parts.find(("trunk", "heads"), "here") == parts.find(("all",), "here")
    chained = mtlkeras.build_model(
        (4,),
        mtlkeras.trunks.MLP(depth=1),
        {"c": Classification(2), "d": Classification(3)},
        dependence=mtlkeras.dependence.TaskChain(order=("c", "d")),
    )
    assert {layer.name for layer in Parts(chained).by_task["c"]} >= {"c", "c_logits"}
    assert not {"d_logits", "dependence"} & {layer.name for layer in Parts(chained).by_task["c"]}


@pytest.mark.slow_on_jax
def test_layers_that_keras_named_by_counting_have_their_stage():

    @mtlkeras.spec
    class Counted(mtlkeras.trunks.Trunk):
        gives = ("vector",)

        def stages(self, flow):
            return [mtlkeras.trunks.Stage(name, self.dense) for name in ("first", "second")]

        def dense(self, flow):
            return flow.to(keras.layers.Dense(3)(flow.x))

        def end(self, flow):
            return mtlkeras.Features(vector=flow.x, taps=flow.taps, source=self)

    model = mtlkeras.build_model((4,), Counted(), {"a": Regression()})
    dense = [layer for layer in model.trunk.layers if isinstance(layer, keras.layers.Dense)]
    assert list(Parts(model).stages.values()) == [[dense[0]], [dense[1]]]


def test_a_phase_is_a_value():
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    phase = Phase(("heads", "stage_*"), 3, optimizer=SGD(0.5), learning_rate=rate, stage_decay=0.4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(phase))
    assert again == phase and hash(again) == hash(phase)
    assert again.parts == ("heads", "stage_*") and again.optimizer is not phase.optimizer
    assert eval(repr(phase), {"Phase": Phase, "keras": keras}) == phase
    assert phase != phase.replace(optimizer=SGD(0.4)) and phase == phase.replace(optimizer=SGD(0.5))
    assert Phase("heads", epochs=np.int64(2)) == Phase("heads", epochs=2)
