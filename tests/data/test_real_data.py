"""The data sets that recipes use: what is loaded equals what their README files count."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from mtlkeras.data import Label, describe, find_idx, load, read_idx, to_arrays

pytestmark = pytest.mark.data

# Active, inactive, missing: the table in the README of tox21.
TOX21 = {
    "NR-AR": (310, 7129, 575),
    "NR-AR-LBD": (238, 6664, 1112),
    "NR-AhR": (785, 5906, 1323),
    "NR-Aromatase": (307, 5633, 2074),
    "NR-ER": (798, 5518, 1698),
    "NR-ER-LBD": (356, 6756, 902),
    "NR-PPAR-gamma": (189, 6394, 1431),
    "SR-ARE": (961, 4974, 2079),
    "SR-ATAD5": (267, 6965, 782),
    "SR-HSE": (379, 6215, 1420),
    "SR-MMP": (936, 4984, 2094),
    "SR-p53": (431, 6478, 1105),
}


def need(path):
    if not path.exists():
        pytest.skip(f"needs the data set in {path}")
    return path


@pytest.mark.parametrize(
    ("split", "examples", "labelled", "kids"),
    [("train", 3774, 3564, 328), ("valid", 552, 520, 52), ("test", 1072, 1012, 96), (None, 5398, 5096, 476)],
)
def test_clothing(data_dir, split, examples, labelled, kids):
    source = need(data_dir / "clothing" / "images.zip")
    tasks = {"label": Label("label", missing=["Not sure", "Other", "Skip"]), "kids": "kids"}
    dataset = load(source, tasks, split=split, image_size=64, batch_size=8)
    report = describe(dataset)
    assert report.examples == examples and report.tasks["label"].labelled == labelled
    assert len(report.tasks["label"].classes) == 17
    assert report.tasks["kids"].counts["1"] == pytest.approx(kids, abs=1 if split is None else 0)
    x, y = next(iter(dataset))
    assert x.shape == (8, 64, 64, 3) and 0 < np.std(x) and y["label"].shape == (8,)


def test_coffee_leaf(data_dir):
    source = need(data_dir / "coffee-leaf" / "images.zip")
    findings = ["miner", "rust", "phoma", "cercospora"]
    tasks = {"stress": "predominant_stress", "severity": "severity", "findings": findings}
    tasks["one_stress"] = Label("predominant_stress", classes=[0, 1, 2, 3, 4], missing=[5])
    dataset = load(source, tasks, image_size=(64, 128), batch_size=4)
    report = describe(dataset)
    assert list(report.tasks["stress"].counts.values()) == [272, 387, 531, 348, 147, 62]
    assert list(report.tasks["severity"].counts.values()) == [274, 966, 345, 106, 56]
    assert report.tasks["findings"].counts == dict(zip(findings, [489, 684, 355, 322], strict=True))
    assert (report.tasks["one_stress"].labelled, report.tasks["one_stress"].missing) == (1685, 62)
    assert next(iter(dataset))[0].shape == (4, 64, 128, 3)
    sizes = [describe(load(source, tasks, split=s)).examples for s in ("train", "valid", "test")]
    assert sizes == [1271, 252, 224]
    fold = describe(load(source, tasks, split="train", split_column="author_fold1"))
    assert fold.examples == 1180


def test_adult(data_dir):
    married = {
        "Married-civ-spouse": 14976,
        "Never-married": 10683,
        "Divorced": 4443,
        "Separated": 1025,
        "Widowed": 993,
        "Married-spouse-absent": 418,
        "Married-AF-spouse": 23,
    }
    tasks = {"income": Label("income", classes=["<=50K", ">50K"]), "married": "marital-status"}
    tasks["work"] = Label("workclass", missing=["?"])
    for name, rows, rich, never in (("train", 32561, 7841, 10683), ("test", 16281, 3846, 5434)):
        source = need(data_dir / "adult" / f"{name}.csv.gz")
        dataset = load(source, tasks, {"numbers": ["age", "hours-per-week"], "job": "occupation"})
        report = describe(dataset)
        assert report.examples == rows and report.tasks["income"].counts[">50K"] == rich
        assert report.tasks["married"].counts["Never-married"] == never
        if name == "train":
            assert report.tasks["married"].counts == married
        with gzip.open(source, "rt") as file:
            assert report.tasks["work"].missing == sum(line.split(",")[1] == "?" for line in file)


def test_tox21(data_dir):
    source = need(data_dir / "tox21" / "tox21.csv.gz")
    dataset = load(source, {name: name for name in TOX21} | {"all": list(TOX21)}, "smiles", batch_size=1000)
    report = describe(dataset)
    for name, (active, inactive, missing) in TOX21.items():
        task = report.tasks[name]
        assert (task.counts["1"], task.counts["0"], task.missing) == (active, inactive, missing)
        assert report.tasks["all"].missing_entries[name] == missing
    assert report.examples == 8014 and report.tasks["all"].missing == 0
    x, y = to_arrays(dataset)
    assert x[0] == b"CCOc1ccc2nc(S(N)(=O)=O)sc2c1" and y["all"][0].tolist() == [
        0,
        0,
        1,
        -1,
        -1,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
    ]
    sizes = [
        describe(load(source, {"t": "NR-AR"}, "smiles", split=s)).examples for s in ("train", "valid", "test")
    ]
    assert sizes == [6433, 804, 777]


def test_fashion_mnist():
    files = find_idx("fashion_mnist")
    if set(files) != {"train", "test"}:
        pytest.skip("needs the IDX files of Fashion-MNIST on disk")
    dataset = load("fashion_mnist", {"article": "label"}, split="test", batch_size=256)
    report = describe(dataset)
    assert report.examples == 10000 and set(report.tasks["article"].counts.values()) == {1000}
    assert np.bincount(read_idx(files["train"][1])).tolist() == [6000] * 10
    x, y = next(iter(dataset))
    assert x.shape == (256, 28, 28, 1) and len(np.unique(y["article"])) == 10
