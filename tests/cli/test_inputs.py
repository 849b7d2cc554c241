"""Inputs from files."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.runs.inputs import read_inputs


def _model(inputs):
    trunk = keras.Model(inputs, keras.layers.Concatenate()([_flat(x) for x in keras.tree.flatten(inputs)]))
    return mtlkeras.build_model(inputs, trunk, {"y": mtlkeras.heads.Regression()})


def _flat(x):
    return keras.layers.Rescaling(1.0)(keras.layers.Reshape((-1,))(x))


@pytest.fixture
def table_model():
    return _model(
        {
            "age": keras.Input((1,), name="age"),
            "size": keras.Input((2,), name="size"),
            "job": keras.Input((1,), dtype="int32", name="job"),
        }
    )


@pytest.fixture
def image_model():
    return _model({"image": keras.Input((4, 6, 3), dtype="uint8", name="image")})


def test_arrays_by_name(table_model, tmp_path):
    arrays = {
        "age": np.array([1, 2]),
        "size": np.ones((2, 2)),
        "job": np.array([3.0, 4.0]),
        "more": np.ones(5),
    }
    np.savez(tmp_path / "x.npz", **arrays)
    x = read_inputs([tmp_path / "x.npz"], table_model)
    assert {name: (a.shape, a.dtype.name) for name, a in x.items()} == {
        "age": ((2, 1), "float32"),
        "size": ((2, 2), "float32"),
        "job": ((2, 1), "int32"),
    }


def test_table_by_name(tmp_path):
    model = _model(
        {"age": keras.Input((1,), name="age"), "job": keras.Input((1,), dtype="int32", name="job")}
    )
    (tmp_path / "x.csv").write_text("job,name,age\n3,Ann,31.5\n1,Bob,40\n")
    x = read_inputs([tmp_path / "x.csv"], model)
    assert x["age"].tolist() == [[31.5], [40.0]]
    assert x["job"].tolist() == [[3], [1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ago,job\n1,2\n",
            "x.csv has no 'age', which the model needs. Did you mean 'ago'? It has: ago, job.",
        ),
        ("age,job\n", "x.csv has no rows below its header."),
        ("age,job\n1,2\n1\n", "Line 3 of x.csv has 1 columns, the header 2."),
        ("age,job\nold,2\n", "'age' of x.csv must hold numbers: could not convert string to float"),
        ("age,job\n1,2\n,2\n ,3\n", "'age' of x.csv has no number in row 2 (number of such rows: 2)."),
        ("age,job\n1,2.5\n", "'job' of x.csv must hold whole numbers that fit int32"),
    ],
)
def test_tables_that_do_not_fit_are_told(text, message, tmp_path):
    model = _model(
        {"age": keras.Input((1,), name="age"), "job": keras.Input((1,), dtype="int32", name="job")}
    )
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError) as error:
        read_inputs([tmp_path / "x.csv"], model)
    assert message in str(error.value)


def test_pictures_come_in_the_model_s_size_and_colours(image_model, tmp_path):
    image = pytest.importorskip("PIL.Image")
    red = image.new("RGB", (12, 8), (255, 0, 7))
    red.save(tmp_path / "a.png")
    image.new("L", (6, 4), 9).save(tmp_path / "b.png")
    x = read_inputs([tmp_path / "a.png", tmp_path / "b.png"], image_model)["image"]
    assert (x.shape, x.dtype.name) == ((2, 4, 6, 3), "uint8")
    assert x[0].reshape(-1, 3).tolist() == [[255, 0, 7]] * 24
    assert set(x[1].ravel().tolist()) == {9}


def test_tables_of_spreadsheets_begin_with_a_mark(tmp_path):
    model = _model({"age": keras.Input((1,), name="age")})
    (tmp_path / "x.csv").write_text("age,name\n3,Ann\n\n4,Bob\n", encoding="utf-8-sig")
    assert read_inputs([tmp_path / "x.csv"], model)["age"].tolist() == [[3.0], [4.0]]


def test_a_model_of_floats_that_scales_them_takes_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (6, 4), 9).save(tmp_path / "a.png")
    inputs = keras.Input((4, 6, 1), name="image")
    trunk = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)))
    model = mtlkeras.build_model(inputs, trunk, {"y": mtlkeras.heads.Regression()})
    x = read_inputs([tmp_path / "a.png"], model)
    assert x.dtype == np.float32 and (x == 9).all() and x.shape == (1, 4, 6, 1)


def test_pictures_need_an_input_of_pixels(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (6, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="the model takes numbers whose scale only its recipe knows"):
        read_inputs([tmp_path / "a.png"], _model({"image": keras.Input((4, 6, 1), name="image")}))


def test_array_needs_a_single_input(table_model, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    with pytest.raises(
        ValueError, match=r"x.npy is one array, but the model has 3 inputs: 'age', 'job', 'size'"
    ):
        read_inputs([tmp_path / "x.npy"], table_model)


def test_array_of_fractions_is_no_picture(image_model, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 4, 6, 3), 0.5))
    with pytest.raises(ValueError, match="x.npy must hold whole numbers that fit uint8"):
        read_inputs([tmp_path / "x.npy"], image_model)


@pytest.mark.parametrize(("name", "error"), [("x.npy", FileNotFoundError), ("x.txt", ValueError)])
def test_other_files_are_refused(name, error, image_model, tmp_path):
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(error, match=name):
        read_inputs([tmp_path / name], image_model)
