"""`mtlkeras train --tasks`: a model of some of a recipe's tasks, and nothing of the others."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.cli import main
from mtlkeras._model.only_tasks import only_tasks
from mtlkeras.balancers import DWA
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification
from mtlkeras.metrics import ExactMatch
from mtlkeras.sharing import MMoE

pytestmark = pytest.mark.tensorflow


def test_a_run_of_one_task(tiny, in_tmp, capsys):
    assert main(["train", str(tiny), "--tasks", "far", "--quiet", "--no-export"]) == 0
    config = json.loads((in_tmp / "runs/tiny-1/config.json").read_text())
    assert (config["tasks"], config["monitor"], config["options"]["tasks"]) == (["far"], "val_loss", ["far"])
    assert set(mtlkeras.load_model(in_tmp / "runs/tiny-1/model.keras").output) == {"far"}
    assert main(["evaluate", "runs/tiny-1"]) == 0 and "side" not in capsys.readouterr().out
    assert main(["train", str(tiny), "--tasks", "fer"]) != 0
    assert "Unknown task 'fer' in the tasks to train. Did you mean 'far'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", str(tiny), "--tasks", "far,far"])
    assert "expected tasks as in a,b, each once" in capsys.readouterr().err


def model(**more):
    heads = {"a": Classification(2), "b": Classification(3, after=("a",)), "c": Classification(2)}
    heads["c"] = Classification(2, after=("a", "b"))
    built = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=4), heads, **more)
    built.compile(
        "sgd",
        loss_weights={"a": 1.0, "b": 2.0, "c": 3.0},
        balancer=DWA(),
        joint_metrics=[ExactMatch(("a", "b"), name="ab"), ExactMatch(("b", "c"), name="bc")],
    )
    return built


def test_what_belongs_to_other_tasks_is_left_out():
    with only_tasks(["b", "c"]):
        two = model(sharing=MMoE(experts=2))
    assert two.heads["b"].after == () and two.heads["c"].after == ("b",)
    x, y = np.ones((4, 4)), {"b": np.ones(4), "c": np.zeros(4)}
    logs = two.evaluate(x, y, verbose=0, return_dict=True)
    assert "bc" in logs and "ab" not in logs and two.balancing is not None
    assert any("gate" in layer.name for layer in two.trunk.layers)
    with only_tasks(("c",)):
        one = model(sharing=MMoE(experts=2))
    assert one.balancing is None and not any("gate" in layer.name for layer in one.trunk.layers)
    losses = one.evaluate(x, {"c": y["c"]}, verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(3 * losses["c_loss"])
    assert list(model().heads) == ["a", "b", "c"], "and afterwards all are built"


def test_a_dependence_stays_where_all_of_its_tasks_do():
    heads = {task: Classification(2) for task in "abc"}

    def chained(tasks):
        keras.utils.clear_session()
        with only_tasks(tasks):
            return mtlkeras.build_model(
                (4,), mtlkeras.trunks.MLP(), heads, dependence=TaskChain(("a", "b"))
            ).dependence

    assert chained(["a", "b"]) == TaskChain(("a", "b"))
    assert chained(["a", "c"]) is None
