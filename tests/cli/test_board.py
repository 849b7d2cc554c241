"""Pictures for TensorBoard while a run trains: which there are, at which steps, and what may fail."""

from __future__ import annotations

import io
import struct
from types import SimpleNamespace

import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.report.html import live
from mtlkeras._app.runs import board, train
from mtlkeras._app.runs.board import Board, Pictures
from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._app.runs.keep import Clock, KeepRun
from mtlkeras._app.runs.options import TrainOptions

pytest.importorskip("tensorboard")

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2)
CURVES = ["side: loss", "side: accuracy", "far: loss", "far: mae", "all tasks: loss"]
NAMES = {
    *(f"Learning curves/{title}" for title in CURVES),
    "Which classes are mixed up?/Confusion of side",
    "Is the model as sure as it is right?/Reliability of side",
    "Numbers answered/Answers of far",
}


def images_in(folder) -> dict[str, list]:
    """Returns the pictures in a log folder by name, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    log.Reload()
    return {name: log.Images(name) for name in log.Tags()["images"]}


@pytest.mark.tensorflow
def test_a_run_leaves_the_pictures_of_its_page(trained):
    image = pytest.importorskip("matplotlib.image")
    found = images_in(trained / "tensorboard/pictures")
    assert set(found) == NAMES
    page = (trained / "report.html").read_text(encoding="utf-8")
    for name, events in found.items():
        section, title = name.split("/")
        assert f">{section}</h2>" in page and f"<title>{title}</title>" in page
        event = events[-1]
        assert event.step == 1  # A short run has them of its last epoch; on a busy machine of others, too.
        pixels = image.imread(io.BytesIO(event.encoded_image_string))
        assert pixels.shape[:2] == (event.height, event.width) and pixels[..., :3].std() > 0.05


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Trains a small model from an epoch to another, as a run does; returns what was said."""
    monkeypatch.setattr(live, "drawn", lambda picture, kind: PNG)
    monkeypatch.setattr(board, "_has_matplotlib", lambda: True)
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    y = {"side": (x[:, 0] > 0).astype("int32"), "far": x.sum(axis=1)}
    heads = {"side": mtlkeras.heads.Classification(2), "far": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=4), heads)
    model.compile("adam", run_eagerly=True)  # A few steps, which take longer to be traced.
    keep = KeepRun(RunFolder(tmp_path), tmp_path / "part", Clock(0.0))

    def fit(first, last, every, data=((x, y),)):
        said: list[str] = []
        pictures = Pictures(tmp_path / "board", keep, data, every, said.append)
        callbacks = [keep, Board(tmp_path / "board", None if every == 0 else pictures)]
        given = {"initial_epoch": first, "epochs": last, "callbacks": callbacks}
        model.fit(x, y, validation_data=(x, y), batch_size=24, verbose=0, **given)
        return said

    return fit


def test_pictures_go_on_with_the_epochs_of_a_run_that_goes_on(fit, tmp_path):
    assert fit(0, 2, every=3) == []
    found = images_in(tmp_path / "board/pictures")
    assert {name: [e.step for e in events] for name, events in found.items()} == dict.fromkeys(NAMES, [1])
    assert fit(2, 4, every=3) == []
    found = images_in(tmp_path / "board/pictures")
    assert {tuple(event.step for event in events) for events in found.values()} == {(1, 2, 3)}
    assert found["Learning curves/far: mae"][0].encoded_image_string == PNG


def test_what_fails_is_told_once_and_the_training_goes_on(fit, tmp_path, monkeypatch):
    def broken(picture, kind):
        raise RuntimeError("no ink")

    monkeypatch.setattr(live, "drawn", broken)
    said = fit(0, 2, every=1, data=[])
    assert said[0] == "note: not in TensorBoard: the validation split: ValueError: the split has no examples"
    assert said[1:] == [
        f"note: not in TensorBoard: picture '{title}': RuntimeError: no ink" for title in CURVES
    ]
    monkeypatch.setattr(board, "_has_matplotlib", lambda: False)
    (told,) = fit(2, 4, every=1)
    assert told.startswith("note: not in TensorBoard: pictures: ImportError: they need matplotlib: pip inst")
    assert images_in(tmp_path / "board/pictures") == {}
    assert list((tmp_path / "board/validation").iterdir())  # The scalars.


def test_nothing_is_drawn_where_it_is_not_asked_for(fit, pictures, tmp_path):
    fit(0, 1, every=0)
    assert sorted(path.name for path in (tmp_path / "board").iterdir()) == ["train", "validation"]
    run, data = RunFolder(tmp_path), {"valid": []}
    for options, there in ((TrainOptions(), True), (TrainOptions(pictures=0), False)):
        job = SimpleNamespace(options=options, data=data)
        assert (train._pictures(job, run, None, print) is not None) == there


def test_looks_take_a_twentieth_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    looks: list[int] = []

    def draw(self, model, epoch):
        now[0] += 2.0
        looks.append(epoch)

    monkeypatch.setattr(Pictures, "_draw", draw)
    pictures = Pictures(tmp_path, None, None, None, print, clock=lambda: now[0])
    for epoch in range(60):
        now[0] += 4.0
        pictures.after_epoch(None, epoch)
    pictures.at_the_end(None, 59)
    pictures.at_the_end(None, 59)
    assert looks == [4, 14, 24, 34, 44, 54, 59]


def test_options_of_a_run_do_not_hold_its_pictures():
    assert "pictures" not in TrainOptions(pictures=3).to_config()
