"""`mtlkeras evaluate`, `predict`, `export` and `recipes`."""

from __future__ import annotations

import csv
import importlib.util
import json
import os

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.cli import main
from mtlkeras._app.recipe import Recipe, recipes
from mtlkeras._app.runs.explain import explain

pytestmark = pytest.mark.tensorflow


def _table(text):
    return {tuple(line.split()[:2]): line.split()[2:] for line in text.splitlines() if len(line.split()) > 2}


def test_evaluate_gives_the_numbers_of_the_run(trained, in_tmp, capsys):
    assert main(["evaluate", str(trained)]) == 0
    metrics = json.loads((trained / "metrics.json").read_text())["test"]
    row = _table(capsys.readouterr().out)["side", "test"]
    assert [float(cell) for cell in row] == pytest.approx(
        [metrics["side_loss"], metrics["side_accuracy"]], abs=1e-4
    )


def test_run_is_found_by_its_name_within_runs(trained, in_tmp, capsys):
    os.symlink(trained.parent, "runs")
    assert main(["evaluate", "tiny-1", "--split", "valid"]) == 0
    assert ("side", "valid") in _table(capsys.readouterr().out)


def test_unknown_run_gets_a_near_match(trained, in_tmp, capsys):
    os.symlink(trained.parent, "runs")
    assert main(["evaluate", "runs/tiny-11"]) == 2
    assert "No run 'runs/tiny-11'. Did you mean 'tiny-1'? Runs in runs/: tiny-1." in capsys.readouterr().err


def test_folder_without_a_run_is_told(in_tmp, capsys):
    assert main(["export", "."]) == 2
    assert ". is not the folder of a run" in capsys.readouterr().err


def test_damaged_model_is_told(trained, in_tmp, capsys):
    (in_tmp / "run").mkdir()
    for name in ("config.json", "recipe.py"):
        (in_tmp / "run" / name).write_bytes((trained / name).read_bytes())
    assert main(["evaluate", "run"]) == 2
    assert "run has no model" in capsys.readouterr().err
    (in_tmp / "run/model.keras").write_bytes((trained / "model.keras").read_bytes()[:1000])
    assert main(["evaluate", "run"]) == 2
    assert "model.keras" in capsys.readouterr().err


def test_predict_writes_a_line_of_labels_per_example(trained, tiny, in_tmp, capsys):
    assert main(["predict", str(trained), "--limit", "18"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    x = np.concatenate([x for x, _ in Recipe(tiny).data("test", 16)])[:18]
    labels = keras.saving.load_model(trained / "model.keras").predict_labels(x, verbose=0)
    assert [line["side"] for line in lines] == labels["side"].tolist()
    assert [line["far"] for line in lines] == pytest.approx(labels["far"][:, 0].tolist(), rel=1e-5)


def test_predict_from_files(trained, in_tmp, capsys):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.save("x.npy", x)
    np.save("one.npy", x[2])
    rows = "\n".join(",".join(map(repr, row)) for row in x.tolist())
    (in_tmp / "x.csv").write_text(f"a,b,c,d\n{rows}\n")
    assert main(["predict", str(trained), "--input", "x.npy", "--output", "npy.jsonl"]) == 0
    assert main(["predict", str(trained), "--input", "x.csv", "--output", "csv.jsonl"]) == 0
    assert main(["predict", str(trained), "--input", "x.npy", "one.npy", "--limit", "4"]) == 0
    lines = (in_tmp / "npy.jsonl").read_text()
    assert lines == (in_tmp / "csv.jsonl").read_text()
    answers = [json.loads(line)["side"] for line in capsys.readouterr().out.splitlines()]
    assert answers == [json.loads(line)["side"] for line in lines.splitlines()] + answers[2:3]


def test_predict_explains_its_first_answer(trained, in_tmp, capsys):
    assert main(["predict", str(trained), "--limit", "2", "--explain", "why.svg"]) == 0
    said = capsys.readouterr()
    assert [set(json.loads(line)) for line in said.out.splitlines()] == [{"side", "far"}] * 2
    with open("why.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["method"]) for row in rows[::4]] == [
        (task, method) for task in ("side", "far") for method in ("integrated gradients", "occlusion")
    ]
    side = json.loads(said.out.splitlines()[0])["side"]
    assert rows[0]["target"] == f"score of '{side}'" and len(rows) == 16
    assert f"side, integrated gradients: score of '{side}'" in said.err and "why.svg" in said.err
    strongest = max(rows[:4], key=lambda row: abs(float(row["attribution"])))
    line = f"{float(strongest['attribution']):+.4g}  {strongest['input']}[{strongest['place']}]"
    assert said.err.splitlines()[1].strip().startswith(line)
    assert "<svg" in (in_tmp / "why.svg").read_text()


def test_explanation_that_cannot_be_written_is_told_first(trained, in_tmp, capsys):
    assert main(["predict", str(trained), "--explain", "why.txt"]) == 2
    said = capsys.readouterr()
    assert "--explain why.txt: expected a name that ends in .png, .svg, .pdf." in said.err and not said.out
    assert main(["predict", str(trained), "--at", "1"]) == 2
    assert "--at needs --explain." in capsys.readouterr().err


def test_explanation_of_every_step_needs_a_step(capsys):
    inputs = keras.Input((None,), dtype="int32", name="ids")
    trunk = keras.Model(inputs, keras.layers.Embedding(9, 4)(inputs))
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32", name="ids"), trunk, {"tags": mtlkeras.heads.Tagging(("x", "y"))}
    )
    said: list[str] = []
    assert list(explain(model, np.array([[3, 4]]), "why.png", None, said.append)) == []
    assert "choose one with --at N" in said[0] and "no picture" in said[1]


def test_predict_sees_the_picture_that_load_gives(trained, in_tmp, capsys):
    image = pytest.importorskip("PIL.Image")
    inputs = keras.Input((8, 6, 3), dtype="uint8", name="image")
    trunk = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)))
    model = mtlkeras.build_model(inputs, trunk, {"size": mtlkeras.heads.Regression()})
    model.compile("sgd")
    run = in_tmp / "run"
    run.mkdir()
    for name in ("config.json", "recipe.py"):
        (run / name).write_bytes((trained / name).read_bytes())
    model.save(run / "model.keras")
    # Stripes that are larger than the input, turned by their EXIF; and grey of 16 bits.
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::3] = stripes[7::9, :, 0:2] = 255
    exif = image.Exif()
    exif[0x0112] = 6
    image.fromarray(stripes).save("stripes.png", exif=exif)
    image.fromarray((np.arange(48 * 64) * 21).astype(np.uint16).reshape(48, 64)).save("grey.png")
    (in_tmp / "labels.csv").write_text("image,y\nstripes.png,0\ngrey.png,1\n")
    loaded = mtlkeras.data.load(in_tmp, {"y": "y"}, image_size=(8, 6), channels=3)
    expected = model.predict_labels(mtlkeras.data.to_arrays(loaded)[0], verbose=0)["size"][:, 0].tolist()
    assert main(["predict", "run", "--input", "stripes.png", "grey.png"]) == 0
    answers = [json.loads(line)["size"] for line in capsys.readouterr().out.splitlines()]
    assert answers == expected and abs(answers[0] - answers[1]) > 1e-3


def test_recipe_may_read_inputs_itself(trained, tiny, in_tmp, capsys):
    run = in_tmp / "run"
    run.mkdir()
    for name in ("config.json", "model.keras"):
        (run / name).write_bytes((trained / name).read_bytes())
    (run / "recipe.py").write_text(
        tiny.read_text()
        + "\n\ndef read(path, data_dir):\n    return np.loadtxt(path, dtype='float32')[None]\n"
    )
    (in_tmp / "x.txt").write_text("1 2 3 4")
    assert main(["predict", "run", "--input", "x.txt"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"side", "far"}


def test_predict_tells_what_does_not_fit(trained, in_tmp, capsys):
    np.save("x.npy", np.zeros((3, 5)))
    assert main(["predict", str(trained), "--input", "x.npy"]) == 2
    assert "x.npy has the shape (3, 5); the model takes (examples, 4)." in capsys.readouterr().err


def test_export_writes_a_saved_model_once(trained, in_tmp, capsys):
    assert main(["export", str(trained)]) == 0
    assert (in_tmp / "tiny-1_saved_model/saved_model.pb").is_file()
    assert main(["export", str(trained)]) == 2
    assert "Cannot export to tiny-1_saved_model: it exists." in capsys.readouterr().err


def test_export_format_that_needs_more_packages_is_told(trained, in_tmp, capsys):
    if importlib.util.find_spec("tf2onnx"):
        pytest.skip("tf2onnx is installed")
    assert main(["export", str(trained), "--format", "onnx"]) == 2
    assert "pip install tf2onnx" in capsys.readouterr().err


def test_recipes_are_listed_with_what_they_are_about(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(recipes())
    assert (
        next(line for line in lines if line.startswith("digits"))
        .split(maxsplit=1)[1]
        .startswith("Handwritten")
    )
