"""Every kind of bad input gets one clear message; the table in the docs is made from here.

After a change of a message: `MTLKERAS_WRITE_DOCS=1 pytest tests/test_bad_inputs.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import mtlkeras
from mtlkeras import analysis, balancers
from mtlkeras._app.runs.evidence import check_tasks, compared_in, evidence_of
from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._app.runs.search_workers import Workers
from mtlkeras._versions import NEWEST
from mtlkeras.compress import factorize, prune_channels, quantize
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, MultiLabel
from mtlkeras.training import Phase, fit_phases
from mtlkeras.transfer import distil, probe, reuse_trunk
from tests.data.toy_builder import ToyFruit
from tests.support import TinyStages, TinyTrunk, all_heads, examples, tiny_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "bad_inputs.md"
X, Y = examples(6)
TAGS = ("O", "B-city")


def compiled(**arguments):
    return tiny_model(compiled=False).compile("sgd", **arguments)


def chained(**fields):
    return tiny_model(dependence=TaskChain(**fields))


def shared(scheme):
    trunk = mtlkeras.trunks.MLP(depth=2)
    heads = {"a": mtlkeras.heads.Regression()}
    return mtlkeras.build_model((4,), trunk, heads, sharing=scheme, name="model")


def fitted(y, **arguments):
    return tiny_model().fit(X, y, verbose=0, **arguments)


def fitted_dataset(y):
    import tensorflow as tf

    return tiny_model().fit(tf.data.Dataset.from_tensor_slices((X, y)).batch(3), verbose=0)


def exported(tmp_path: Path):
    (tmp_path / "served").mkdir()
    return tiny_model().export(tmp_path / "served")


def truncated(tmp_path: Path):
    tiny_model().save(tmp_path / "cut.keras")
    content = (tmp_path / "cut.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    return mtlkeras.load_model(tmp_path / "cut.keras")


def loaded(tmp_path: Path, tasks, column="colour", rows=("red", "blue"), **arguments):
    """A table of two rows with an input and a column of labels."""
    table = tmp_path / "table.csv"
    table.write_text(f"x,{column}\n" + "".join(f"{i},{row}\n" for i, row in enumerate(rows)))
    return list(mtlkeras.data.load(table, tasks, inputs=["x"], **arguments))


def tfds_feature(tmp_path: Path):
    builder = ToyFruit(data_dir=tmp_path)
    builder.download_and_prepare()
    return mtlkeras.data.load(builder, {"colour": "color"}, split="train")


def unknown_class(tmp_path: Path):
    return loaded(tmp_path, {"colour": mtlkeras.data.Label("colour", classes=("red", "blau"))})


def conll(tmp_path: Path, text, columns=("word", "tag"), tags=None, **arguments):
    """A file with one token a line."""
    (tmp_path / "part.conll").write_bytes(text)
    tasks = {"tag": mtlkeras.data.Label("tag", kind="tags", classes=tags)}
    return mtlkeras.data.load(tmp_path / "part.conll", tasks, "word", columns=columns, **arguments)


def unequal(tmp_path: Path):
    (tmp_path / "part.jsonl").write_text('{"words": ["play", "jazz"], "tags": ["O"]}\n')
    tags = mtlkeras.data.Label("tags", kind="tags")
    return mtlkeras.data.load(tmp_path / "part.jsonl", {"tag": tags}, "words")


def masked_wrongly():
    return mtlkeras.layers.CRF(3).log_partition(np.zeros((2, 4, 3), "float32"), np.ones((2, 5), bool))


def text_trunk(**fields):
    return mtlkeras.trunks.LSTM(**fields)


def nan_input():
    x = np.array([[1.0], [np.nan]], "float32")
    return list(mtlkeras.data.load((x, {"a": np.zeros(2, int)}), {"a": "a"}, check_finite=True))


def tagger():
    inputs = keras.Input((None,), dtype="int32")
    trunk = keras.Model(inputs, keras.layers.Embedding(9, 4)(inputs))
    return mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), trunk, {"tags": mtlkeras.heads.Tagging(TAGS)}
    )


def without_fork():
    """A model whose tasks read tensors of their own."""
    from mtlkeras.features import Features

    x = keras.Input((4,))
    heads = {"a": Classification(2), "b": Classification(2)}
    outputs = {
        task: head.attach(Features(vector=keras.layers.Dense(3)(x)), task) for task, head in heads.items()
    }
    return mtlkeras.MultiTaskModel(x, outputs)


def built(heads, trunk=None, shape=(6, 6, 1), sharing=None):
    return mtlkeras.build_model(shape, trunk or TinyTrunk(), heads, sharing)


def layers_shared(sharing, width=4):
    """A model of two tasks on two dense layers."""
    trunk = mtlkeras.trunks.MLP(depth=2, width=width)
    return built({"a": Classification(2), "b": Classification(3)}, trunk, (3,), sharing)


def pruned(trunk=None, **arguments):
    return prune_channels(tiny_model(trunk=trunk), **arguments)


def phased(*phases, trunk=None, **arguments):
    model = tiny_model(trunk=trunk or TinyStages(), run_eagerly=True)
    return fit_phases(model, (X, Y), phases, verbose=0, **arguments)


def reused(freeze=False, sharing=None, at=None):
    source = tiny_model({"a": Classification(2)}, trunk=TinyStages(), compiled=False, sharing=sharing)
    return reuse_trunk(source, {"b": Classification(3)}, freeze=freeze, at=at)


def probed(task="kind", trunk=None, **arguments):
    return probe(tiny_model(trunk=trunk or TinyStages(), compiled=False), (X, Y), task, **arguments)


def distilled(task, of, **arguments):
    """A student with a teacher of one task for a task of its own."""
    teacher = tiny_model({of: all_heads()[of]}, compiled=False, trunk=TinyStages())
    return distil({task: teacher}, tiny_model(), (X, Y), **arguments)


def phases_resumed_with_others(tmp_path: Path):
    phased(Phase("heads"), backup=tmp_path / "state.npz")
    return phased(Phase("trunk"), backup=tmp_path / "state.npz")


def phases_resumed_on_another_model(tmp_path: Path):
    phased(Phase("trunk"), backup=tmp_path / "state.npz")
    return phased(Phase("trunk"), backup=tmp_path / "state.npz", trunk=TinyStages(width=8))


def masked(tmp_path: Path, mask, classes=("ground", "leaf")):
    """A black picture of 6 x 4 pixels with a file of its mask."""
    folder = tmp_path / "leaves"
    (folder / "masks").mkdir(parents=True)
    for name, pixels in (("a.png", np.zeros((6, 4, 3), "uint8")), ("masks/m.png", mask)):
        Image.fromarray(np.asarray(pixels, "uint8")).save(folder / name)
    (folder / "labels.csv").write_text("image,mask\na.png,m.png\n")
    label = mtlkeras.data.Label("mask", kind="mask", classes=classes, files="masks")
    return mtlkeras.data.load(folder, {"leaf": label}, cache=True)


SEARCHED = '''"""Numbers."""

import mtlkeras
import tensorflow as tf

EPOCHS, BATCH_SIZE, SEED, MONITOR, RESULT = 1, 4, 0, "val_loss", ""


def data(split, batch_size, data_dir=None):
    return tf.data.Dataset.from_tensors((tf.zeros((4, 2)), {"y": tf.zeros(4)}))


def build(hp):
    trunk = mtlkeras.trunks.MLP(width=hp.Choice("width", WIDTHS))
    model = mtlkeras.build_model((2,), trunk, {"y": mtlkeras.heads.Regression()})
    model.compile()
    return model
'''


def searched(tmp_path: Path, widths: str = "[4, 8]", **options):
    """Searches a recipe; `run_dir` is within the case's folder."""
    from mtlkeras._app.recipe import Recipe
    from mtlkeras._app.runs.search import search
    from mtlkeras._app.runs.search_plan import SearchOptions, prepare_search

    path = tmp_path / "numbers.py"
    path.write_text(SEARCHED.replace("WIDTHS", widths))
    options = SearchOptions(**{"trials": 2, "run_dir": str(tmp_path / "search"), **options})
    return search(prepare_search(Recipe(path), options), say=lambda text: None, watch=lambda trials: None)


def searched_for_something_else(tmp_path: Path):
    searched(tmp_path, tuner="random", trials=1)
    searched(tmp_path, resume=True, objective="val_y_mae")


def worker_alone(tmp_path: Path):
    there = {"TUNER_ID": "tuner0", "ORACLE_IP": "127.0.0.1", "ORACLE_PORT": "9"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in there.items():
            patch.setenv(f"KERASTUNER_{name}", value)
        searched(tmp_path, chief_timeout=0.1)


def worker_dies(tmp_path: Path, times: int = 1):
    """Returns what is said of a worker that is killed, until it is given up."""
    said: list[str] = []
    workers = Workers(1, ["tune", "x"], {}, tmp_path / "workers", said.append)
    try:
        for _ in range(times):
            (process,) = workers.processes
            process.kill()
            process.wait()
            workers.at_work()
    finally:
        workers.stop()
    return said[-1]


def run_folder(tmp_path: Path, name: str, **config):
    """Returns a folder with nothing but what was run in it."""
    run = RunFolder(tmp_path / name)
    run.path.mkdir()
    run.write_config(recipe="numbers", status="failed", tasks=["kind", "size"], **config)
    return run


def side_by_side(tmp_path: Path):
    alone = run_folder(tmp_path, "alone")
    alone.write_config(tasks=["kind"])
    return check_tasks([run_folder(tmp_path, "both"), alone])


def mixed(schedule=None, a=None, b=None, **options):
    """Two data sets of arrays, of tasks `a` and `b`."""
    x, y = np.ones((6, 2), "float32"), np.arange(6)
    return mtlkeras.data.mix({"a": a or (x, {"a": y}), "b": b or (x, {"b": y})}, schedule, **options)


def mixed_without_end():
    import tensorflow as tf

    x, y = tf.zeros((4, 2)), {"a": tf.zeros(4)}
    return mtlkeras.data.mix({"a": tf.data.Dataset.from_tensors((x, y)).repeat()})


def metrics_collide():
    heads = {"a": Classification(2), "a_b": Classification(2)}
    metrics = {"a": [keras.metrics.SparseCategoricalAccuracy(name="b_accuracy")]}
    return built(heads).compile("sgd", metrics=metrics)


CASES: dict[str, Callable] = {
    "Unknown task in `loss`": lambda: compiled(loss={"kinds": "mse"}),
    "Unknown task in `loss_weights`": lambda: compiled(loss_weights={"kind": 1.0, "sise": 5.0}),
    "Unknown task in `metrics`": lambda: compiled(metrics={"grades": "accuracy"}),
    "Unknown metric": lambda: compiled(metrics={"kind": "acuracy"}),
    "Metrics as a list": lambda: compiled(metrics=["accuracy"]),
    "Loss weights as a list": lambda: compiled(loss_weights=[1.0, 2.0]),
    "Negative loss weight": lambda: compiled(loss_weights={"kind": -1.0}),
    "Loss that sums": lambda: compiled(loss={"size": keras.losses.MeanSquaredError(reduction="sum")}),
    "No loss for a task": lambda: compiled(loss={"kind": None}),
    "Balancer class instead of a balancer": lambda: compiled(balancer=balancers.MGDA),
    "Something else than a balancer": lambda: compiled(balancer="mgda"),
    "Unknown task in a balancer's preferences": lambda: compiled(
        balancer=balancers.AlignedMTL(preference={"kind": 2.0, "sise": 1.0})
    ),
    "Preferences of another number of tasks": lambda: compiled(
        balancer=balancers.STCH(preference=(1.0, 2.0))
    ),
    "Unknown level of a balancer": lambda: balancers.CAGrad(at="parameter"),
    "Layers of a balancer at the representation": lambda: balancers.CAGrad(layers=("conv",)),
    "Unknown layer of a balancer": lambda: compiled(
        balancer=balancers.CAGrad(at="parameters", layers=("conf",))
    ),
    "Representation for a balancer of gradient elements": lambda: balancers.MoCo(at="representation"),
    "Weights of a balancer every half step": lambda: balancers.PCGrad(every=0.5),
    "No group of tasks": lambda: balancers.GO4Align(groups=0),
    "Unknown normalization of losses": lambda: balancers.LDCMTL(normalization="rescaled"),
    "Balancer at the representation of a model without one": lambda: without_fork().compile(
        "sgd", balancer=balancers.MGDA()
    ),
    "Gradient accumulation with a balancer by gradients": lambda: tiny_model(
        optimizer=keras.optimizers.SGD(gradient_accumulation_steps=2), balancer=balancers.MGDA()
    ),
    "Unknown task in the labels": lambda: fitted({"kinds": Y["kind"]}),
    "Unknown task in a dataset's labels": lambda: fitted_dataset({"kinds": Y["kind"]}),
    "Labels as a list": lambda: fitted([Y["kind"]]),
    "Unknown task in `class_weight`": lambda: fitted(Y, class_weight={"knd": {0: 2.0}}),
    "Unknown class in `class_weight`": lambda: fitted(Y, class_weight={"kind": {"wasp": 2.0}}),
    "Class weights for several tasks without their names": lambda: fitted(Y, class_weight={0: 2.0}),
    "Class weights for numbers": lambda: fitted(Y, class_weight={"size": {0: 2.0}}),
    "Unknown task in `sample_weight`": lambda: fitted(Y, sample_weight={"kin": np.ones(6)}),
    "Sample weights of another length": lambda: fitted(Y, sample_weight={"kind": np.ones(5)}),
    "Label outside of the classes": lambda: fitted({"kind": np.array([0, 1, 2, 3, 0, 1])}),
    "Label outside of the classes in a dataset": lambda: fitted_dataset({"kind": np.array([3] * 6)}),
    "Text as class labels": lambda: fitted({"kind": np.array(["ant", "bee"] * 3)}),
    "Labels of the wrong shape": lambda: fitted({"marks": np.zeros((6, 3), "int32")}),
    "Infinite number as a label": lambda: fitted({"size": np.full((6, 2), np.inf)}),
    "A feature that the trunk lacks": lambda: mtlkeras.Features(vector=X, source=TinyTrunk()).get("sequence"),
    "Unknown tap": lambda: built({"a": Classification(2, at="convv")}),
    "Task name that cannot name a layer": lambda: built({"my task/1": Classification(2)}),
    "Task name that is taken": lambda: built({"loss": Classification(2)}),
    "Two metrics of one name": metrics_collide,
    "Something else than a head": lambda: built({"a": 10}),
    "No heads": lambda: built({}),
    "Trunk class instead of a trunk": lambda: built({"a": Classification(2)}, TinyTrunk),
    "Sharing between stages of a trunk without any": lambda: built(
        {"a": Classification(2)}, sharing=mtlkeras.sharing.MTAN()
    ),
    "Sharing between stages of a model that names none": lambda: built(
        {"a": Classification(2)},
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()], name="body"),
        sharing=mtlkeras.sharing.Adapters(),
    ),
    "Unknown stage of adapters": lambda: built(
        {"a": Classification(2)}, TinyStages(), sharing=mtlkeras.sharing.Adapters(stages=("lats",))
    ),
    "Attention masks without the last stage": lambda: built(
        {"a": Classification(2)}, TinyStages(), sharing=mtlkeras.sharing.MTAN(stages=("conv",))
    ),
    "Unknown kind of adapters": lambda: mtlkeras.sharing.Adapters(kind="lora"),
    "Several trunks where there is one model": lambda: built(
        {"a": Classification(2)},
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="network"),
        (3,),
        mtlkeras.sharing.CrossStitch(),
    ),
    "Stitches between the stages of a trunk without stages": lambda: built(
        {"a": Classification(2)}, sharing=mtlkeras.sharing.CrossStitch()
    ),
    "Stitch behind an unknown stage": lambda: layers_shared(
        mtlkeras.sharing.CrossStitch(stages=("hiden_1",))
    ),
    "Subspaces that do not divide the channels": lambda: layers_shared(mtlkeras.sharing.Sluice(subspaces=3)),
    "Unknown penalty": lambda: mtlkeras.sharing.SoftSharing("trace"),
    "Balancer of gradients where tasks share no parameter": lambda: layers_shared(
        mtlkeras.sharing.SoftSharing()
    ).compile(balancer=balancers.CAGrad(at="parameters")),
    "Branches behind the last stage": lambda: layers_shared(mtlkeras.sharing.Branching(at="hidden_2")),
    "Groups without a task": lambda: layers_shared(mtlkeras.sharing.Branching(groups=(("a",),))),
    "Groups with an unknown task": lambda: layers_shared(
        mtlkeras.sharing.Branching(groups=(("a", "b"), ("c",)))
    ),
    "Groups with a task twice": lambda: mtlkeras.sharing.Branching(groups=(("a", "b"), ("a",))),
    "Groups that are no tuples": lambda: mtlkeras.sharing.Branching(groups=("a", "b")),
    "Image too small for the trunk": lambda: built(
        {"a": Classification(2)}, mtlkeras.trunks.VGG(depth=16, stem="imagenet"), (8, 8, 3)
    ),
    "Input shape that the trunk cannot take": lambda: built(
        {"a": Classification(2)}, mtlkeras.trunks.ResNet(depth=8), (7,)
    ),
    "More experts picked than there are": lambda: mtlkeras.sharing.MMoE(experts=2, gate="dselect_k", k=3),
    "Number of experts to pick for a gate that picks none": lambda: mtlkeras.sharing.MMoE(k=2),
    "More levels than the trunk has stages": lambda: shared(mtlkeras.sharing.PLE(levels=3)),
    "Tap for the gates that the trunk has not": lambda: shared(mtlkeras.sharing.MMoE(gate_sees="hiden_1")),
    "Gates of a model that has none": lambda: mtlkeras.analysis.gates(shared(None), X),
    "Baseline of another task": lambda: analysis.delta_m({"kind": 0.8}, {"kinds": 0.7}),
    "Baseline of 0": lambda: analysis.delta_m({"kind": 0.8}, {"kind": 0.0}),
    "Unknown measure of association": lambda: analysis.label_association(Y, tiny_model(), classes="cramers"),
    "Association of one task": lambda: analysis.label_association({"kind": Y["kind"]}, tiny_model()),
    "Similarity of one model": lambda: analysis.representation_similarity({"kind": tiny_model()}, X),
    "Similarity at an unknown place": lambda: analysis.representation_similarity(
        {"a": tiny_model(), "b": tiny_model()}, X, at="cnv"
    ),
    "Groups by a matrix with a gap": lambda: analysis.group_tasks(np.full((2, 2), np.nan), 1, ("a", "b")),
    "Transferability for labels of steps": lambda: analysis.transferability(
        tiny_model(), X, np.ones((6, 3), int), mtlkeras.heads.Tagging(TAGS)
    ),
    "H-score of numbers": lambda: analysis.h_score(X, Y["size"]),
    "Calibration of numbers": lambda: analysis.calibration_by_task(tiny_model(), X, {"size": Y["size"]}),
    "Temperature of an ordinal task": lambda: analysis.scale_temperature(tiny_model(), X, Y, tasks=["grade"]),
    "Sweep of one setting": lambda: analysis.regularisation_efficiency(
        [{"task": "kind", "train": 0.9, "test": 0.8}]
    ),
    "Unknown task in worst errors": lambda: analysis.worst_errors(tiny_model(), X, Y, "kinds"),
    "Slices by an unknown input": lambda: analysis.scores_by_slice(tiny_model(), {"x": X}, Y, by="y"),
    "Unknown task to explain": lambda: analysis.integrated_gradients(tiny_model(), X, "kinds"),
    "No task to explain": lambda: analysis.integrated_gradients(tiny_model(), X),
    "Unknown target to explain": lambda: analysis.occlusion(tiny_model(), X, "kind", target="be"),
    "Number of a target that the head has not": lambda: analysis.occlusion(tiny_model(), X, "size", target=2),
    "Explanation of no steps": lambda: analysis.integrated_gradients(tiny_model(), X, "kind", steps=0),
    "Explanation of inputs of another shape": lambda: analysis.integrated_gradients(
        tiny_model(), X[:, :4], "kind"
    ),
    "Explanation of no example": lambda: analysis.occlusion(tiny_model(), X[:0], "kind"),
    "Explanation of one answer of many": lambda: analysis.integrated_gradients(tagger(), [[3, 4]]),
    "Explanation of a step that is not there": lambda: analysis.occlusion(tagger(), [[3, 4]], at=2),
    "Step of an answer for the whole": lambda: analysis.occlusion(tiny_model(), X, "kind", at=0),
    "Patches with gaps between": lambda: analysis.occlusion(tiny_model(), X, "kind", size=2, stride=3),
    "Baseline of another shape": lambda: analysis.occlusion(tiny_model(), X, "kind", baseline=np.ones(7)),
    "Baseline of an unknown input": lambda: analysis.occlusion(
        tiny_model(), X, "kind", baseline={"imag": 0.0}
    ),
    "Names that do not fit the classes": lambda: Classification(3, class_names=("a", "b")),
    "Ordinal head with two classes": lambda: mtlkeras.heads.Ordinal(2),
    "Unknown task in a chain": lambda: chained(order=("kind", "grad")),
    "Task twice in a chain": lambda: chained(order=("kind", "grade", "kind")),
    "Task without classes in a chain": lambda: chained(order=("kind", "size")),
    "Tree of tasks with a circle": lambda: chained(
        tree=(("kind", "grade"), ("grade", "marks/red"), ("marks/red", "kind"))
    ),
    "Unknown label in a tree of tasks": lambda: chained(tree=(("kind", "marks/redd"),)),
    "Several labels at once in a tree of tasks": lambda: chained(tree=(("kind", "marks"),)),
    "Neither an order nor a tree": lambda: TaskChain(),
    "Negative penalty of a chain's tables": lambda: TaskChain(("kind", "grade"), l2=-1.0),
    "Labels of a Chow-Liu tree that are no classes": lambda: TaskChain.from_labels(
        {"kind": [0, 1], "size": [0.5, 1.0]}
    ),
    "Known label outside the classes": lambda: chained(order=("kind", "grade")).predict_labels(
        X, known={"kind": [3] * 6}, verbose=0
    ),
    "Export of known answers of an unknown task": lambda tmp_path: chained(order=("kind", "grade")).export(
        tmp_path / "served", known=("grad",)
    ),
    "Tasks that read each other in a circle": lambda: tiny_model(
        {"kind": Classification(3, after=("grade",)), "grade": Classification(4, after=("kind",))}
    ),
    "Joint likelihood of numbers": lambda: compiled(
        joint_metrics=mtlkeras.metrics.JointLogLikelihood(("kind", "size"))
    ),
    "Unknown field of a spec": lambda: MultiLabel(2).replace(treshold=0.3),
    "Unknown column of a table": lambda tmp_path: loaded(tmp_path, {"colour": "color"}),
    "Class that a table's label does not have": unknown_class,
    "Feature that a TFDS data set lacks": tfds_feature,
    "Mask of another size than its picture": lambda tmp_path: masked(tmp_path, np.zeros((5, 4))),
    "Value in a mask that is no class": lambda tmp_path: masked(
        tmp_path, np.arange(24).reshape(6, 4) // 12 * 7
    ),
    "Colour in a mask that is no class": lambda tmp_path: masked(
        tmp_path, np.full((6, 4, 3), (0, 9, 0)), {"ground": (0, 0, 0), "leaf": (0, 200, 0)}
    ),
    "Masks without classes": lambda tmp_path: masked(tmp_path, np.zeros((6, 4)), None),
    "Unknown loss of pixels": lambda: mtlkeras.heads.Segmentation(3, loss_kind=("crossentropy", "dise")),
    "Metric of an unknown class of pixels": lambda: mtlkeras.heads.Segmentation(
        2, class_names=("ground", "leaf"), metrics=("iou_leav",)
    ),
    "Pixels of another number than the outputs": lambda: tiny_model(
        {"leaf": mtlkeras.heads.DenseRegression(width=4)}
    ).fit(X, {"leaf": np.zeros((6, 5, 6))}, verbose=0),
    "Tags and tokens of different number": unequal,
    "Tag that is none of the classes": lambda tmp_path: conll(tmp_path, b"Rome B-ctiy\n", tags=TAGS),
    "Tag unknown to a `TagEncoder`": lambda: mtlkeras.data.TagEncoder(TAGS).encode([["O", "B-ciy"]]),
    "Tags that are not of the scheme": lambda: mtlkeras.heads.CRFTagging(("O", "city"), scheme="BIO"),
    "Entity metric without a scheme": lambda: mtlkeras.heads.Tagging(("N", "V"), metrics=("f1",)),
    "Mask of another shape than the logits": masked_wrongly,
    "Sentence longer than the stated maximum": lambda tmp_path: conll(tmp_path, b"a O\nb O\n", max_length=1),
    "Text longer than an encoder's maximum": lambda: mtlkeras.data.TextEncoder(("a",), max_length=2).encode(
        ["a a a"]
    ),
    "File that is not UTF-8": lambda tmp_path: conll(tmp_path, b"a O\n\xe9 O\n"),
    "Empty file of tokens": lambda tmp_path: conll(tmp_path, b""),
    "Line with another number of columns": lambda tmp_path: conll(tmp_path, b"a O\nb\n"),
    "Unknown column of tokens": lambda tmp_path: conll(tmp_path, b"a O\n", columns=("words", "tag")),
    "Text trunk without a vocabulary": lambda: text_trunk(),
    "Numbers that are no ids for a text trunk": lambda: built(
        {"a": Classification(2)}, text_trunk(vocabulary_size=9), (7,)
    ),
    "Vectors without an encoder": lambda: text_trunk(vocabulary_size=9, vectors="glove.txt"),
    "Temperature of 0": lambda: mtlkeras.data.Temperature(0.0),
    "Unknown source in weights": lambda: mixed(mtlkeras.data.Weighted({"a": 1.0, "bb": 1.0})),
    "Source without a weight": lambda: mixed(mtlkeras.data.Weighted({"a": 1.0})),
    "Mix of no sources": lambda: mtlkeras.data.mix({}),
    "Something else than a schedule": lambda: mixed("proportional"),
    "Source without an end in an epoch that needs one": mixed_without_end,
    "Source without examples": lambda: mixed(b=(np.ones((0, 2), "float32"), {"b": np.ones(0)})),
    "Source without labels for the task of its name": lambda: mixed(
        a=(X, {"c": Y["kind"]}), b=(X, {"a": Y["kind"], "b": Y["kind"]})
    ),
    "Source with an input of another shape": lambda: mixed(b=(np.ones((6, 3), "f4"), {"b": np.arange(6)})),
    "Source with an input of another type": lambda: mixed(b=(np.ones((6, 2), "uint8"), {"b": np.arange(6)})),
    "Labels of one task in two types": lambda: mixed(
        b=(np.ones((6, 2), "float32"), {"a": np.ones(6), "b": np.arange(6)})
    ),
    "Mix of other classes of one task": lambda: mtlkeras.data.mix(
        {
            name: mtlkeras.data.load(({"x": X}, {"pet": [*pets] * 3}), {"pet": "pet"}, ["x"])
            for name, pets in {"a": ("cat", "dog"), "b": ("dog", "fox")}.items()
        }
    ),
    "Head that would train on a filled input": lambda: mtlkeras.data.mix(
        {"one": ({"x": X, "z": X}, {"kind": Y["kind"]}), "two": ({"x": X}, {"kind": Y["kind"]})}
    ),
    "Unknown input to fill": lambda: mixed(
        a=({"left": X}, {"a": Y["kind"]}), b=({"right": X}, {"b": Y["kind"]}), fill={"rigth": 1.0}
    ),
    "Sources in turn within batches": lambda: mixed(mtlkeras.data.Alternating(), within="batch"),
    "Unknown place to mix": lambda: mixed(within="batches"),
    "Unknown end of an epoch": lambda: mixed(stop="last"),
    "Source read twice without shuffling": lambda: mixed(
        mtlkeras.data.Weighted({"a": 3, "b": 1}), shuffle=False
    ),
    "Schedule that cannot be annealed": lambda: mtlkeras.data.Annealed(
        mtlkeras.data.Alternating(), mtlkeras.data.Proportional(), epochs=2
    ),
    "Unknown task in the labels of a mix": lambda: tiny_model().fit(
        mixed(a=(X, {"kinds": Y["kind"]}), b=(X, {"size": Y["size"]})), verbose=0
    ),
    "Missing file": lambda: mtlkeras.data.load("flowers.csv", {"a": "a"}, inputs=["x"]),
    "NaN in the inputs, checked on request": nan_input,
    "Export onto an existing folder": exported,
    "Unknown export format": lambda: tiny_model().export("served", format="onxx"),
    "Truncated `.keras` file": truncated,
    "Unknown objective of a search": lambda: mtlkeras.tuning.objective(tiny_model(), "val_kind_acuracy"),
    "Score over all tasks without a reference for one": lambda: mtlkeras.tuning.multi_task_objective(
        tiny_model(), reference={"kind": 0.8, "size": 2.0, "marks": 0.9}
    ),
    "Unknown tuner": lambda tmp_path: searched(tmp_path, tuner="baysian"),
    "Unknown value held in a search": lambda tmp_path: searched(tmp_path, settings={"widht": "4"}),
    "Search of a recipe without hyperparameters": lambda tmp_path: searched(
        tmp_path, settings={"width": "4"}
    ),
    "Search space whose default fails to build": lambda tmp_path: searched(tmp_path, widths="[0, 4]"),
    "Search in which every trial failed": lambda tmp_path: searched(tmp_path, max_parameters=5),
    "Phase that trains nothing": lambda: phased(Phase("pool")),
    "Unknown task in a phase": lambda: phased(Phase("kinds")),
    "Unknown stage in a phase": lambda: phased(Phase("last"), Phase("lest")),
    "Phase of no epochs": lambda: Phase("heads", epochs=0),
    "No phases": lambda: phased(),
    "Data of a phase that are not there": lambda: phased(Phase(data="few")),
    "Phase that goes on with no optimizer": lambda: phased(Phase(keep_optimizer=True)),
    "Early stopping of a phase without validation": lambda: phased(Phase(patience=2)),
    "Rates by stage of a trunk without stages": lambda: phased(Phase(stage_decay=0.5), trunk=TinyTrunk()),
    "Balancer of gradients where nothing shared trains": lambda: phased(
        Phase("heads", balancer=balancers.PCGrad())
    ),
    "Trunk of a file that is not there": lambda tmp_path: reuse_trunk(tmp_path / "a.keras", {}),
    "Unknown stage to freeze": lambda: reused(freeze=("lest",)),
    "Unknown tap of a trunk that is used again": lambda: reused(at="cone"),
    "Trunk used again where each task has its own": lambda: reused(sharing=mtlkeras.sharing.CrossStitch()),
    "Probe of a trunk without stages": lambda: probed(trunk=TinyTrunk()),
    "Probe of an unknown task": lambda: probed("kinds"),
    "Probe of an unknown stage": lambda: probed(stages=("lest",)),
    "Probe of a head that reads a map": lambda: probed(mtlkeras.heads.Segmentation(3)),
    "Unknown task of a teacher": lambda: distilled("kinds", of="kind"),
    "Teacher of another head": lambda: distilled("size", of="kind"),
    "Teacher of a head that does not learn from one": lambda: distilled("grade", of="grade"),
    "Temperature of zero": lambda: distilled("kind", of="kind", temperature=0),
    "Phases resumed with others": phases_resumed_with_others,
    "Phases resumed on another model": phases_resumed_on_another_model,
    "Pruning to a size that cannot be met": lambda: pruned(weights=0.01, importance="magnitude"),
    "Time that is to be met without inputs": lambda: pruned(milliseconds=1.0, importance="magnitude"),
    "Pruning by losses without data": lambda: pruned(),
    "Pruning by losses of a model that is not compiled": lambda: prune_channels(
        tiny_model(compiled=False), (X, Y)
    ),
    "Pruning a trunk that computes over all channels": lambda: pruned(
        trunk=mtlkeras.trunks.ResNet(depth=8, normalization="layer"), importance="magnitude"
    ),
    "Unknown layer to keep whole": lambda: pruned(keep=("heads", "cnov"), importance="magnitude"),
    "Rank that saves nothing": lambda: factorize(tiny_model(), rank=9, layers=("conv",)),
    "Layer that has no kernel to factorise": lambda: factorize(tiny_model(), layers=("pool",)),
    "Layer that cannot be quantized": lambda: quantize(tiny_model(), ("trunk", "conv")),
    "Layers of which none can be quantized": lambda: quantize(tiny_model(), "trunk"),
    "Search resumed for something else": searched_for_something_else,
    "Search into a folder that is taken": lambda tmp_path: searched(tmp_path, run_dir=str(tmp_path)),
    "Report of a run without an epoch": lambda tmp_path: evidence_of(run_folder(tmp_path, "numbers-1")),
    "Report of a comparison that broke off": lambda tmp_path: compared_in(run_folder(tmp_path, "both")),
    "Runs of other tasks side by side": side_by_side,
    "Worker whose chief does not answer": worker_alone,
    "Worker that dies in mid-trial": worker_dies,
    "Worker that dies again and again": lambda tmp_path: worker_dies(tmp_path, times=99),
}  # fmt: skip


def message_of(case: Callable, tmp_path: Path) -> str:
    arguments = (
        {"tmp_path": tmp_path}
        if case.__code__.co_argcount and case.__code__.co_varnames[0] == "tmp_path"
        else {}
    )
    try:
        said = case(**arguments)
        assert isinstance(said, str), "Nothing was said."
    except (ValueError, OSError) as error:
        said = f"`{type(error).__name__}`: {error}"
    return said.replace(str(tmp_path), "runs").replace("|", "\\|")


def page_of(tmp_path: Path) -> str:
    lines = [
        "# What bad input is told",
        "",
        "Made by `tests/test_bad_inputs.py`, which also checks it. The models in it have the tasks `kind` "
        "(classes ant, bee, cat), `size` (two numbers), `marks` (red, blue) and `grade` (four ranks).",
        "",
        "| what was passed | what is said |",
        "| --- | --- |",
    ]
    for i, (title, case) in enumerate(CASES.items()):
        folder = tmp_path / str(i)
        folder.mkdir()
        lines.append(f"| {title} | {' '.join(message_of(case, folder).split())} |")
    return "\n".join(lines) + "\n"


@pytest.mark.tensorflow
def test_the_page_shows_what_is_said(tmp_path):
    page = page_of(tmp_path)
    if os.environ.get("MTLKERAS_WRITE_DOCS"):
        PAGE.write_text(page)
    if keras.__version__ >= ".".join(map(str, NEWEST)):  # Older ones log in another order.
        assert PAGE.read_text() == page
    misspelt = {
        t: "Did you mean" in page.split(f"| {t} |")[1].split("\n")[0]
        for t in CASES
        if t.startswith("Unknown task")
    }
    assert all(misspelt.values()), misspelt


def test_nothing_is_left_of_an_export_that_breaks_off(tmp_path, monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(keras.export, "ExportArchive", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.export(tmp_path / "served")
    assert list(tmp_path.iterdir()) == []
