"""Writing a model for use without mtlkeras."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from mtlkeras._backends import traced_once
from mtlkeras._errors import unknown_name
from mtlkeras._model.joint_endpoints import check_asked, joint_endpoints
from mtlkeras._model.text_inputs import takes_tokens, text_encoder

FORMATS = ("tf_saved_model", "onnx", "litert")
_NEEDS = {
    "tf_saved_model": {"tensorflow": "tensorflow"},
    "onnx": {"tf2onnx": "tf2onnx", "onnx": "onnx"},
    "litert": {"tensorflow": "tensorflow"},
}


def export_model(
    model: Any,
    filepath: Any,
    format: str,
    keras_export: Callable,
    joint: bool = False,
    known: Sequence[str] = (),
    **kwargs: Any,
) -> None:
    """Exports `model`; see `MultiTaskModel.export`."""
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS, "format= of export")
    check_asked(model, joint, known, format)
    target = Path(filepath)
    if target.exists():
        raise FileExistsError(
            f"Cannot export to {target}: it exists. Choose another path or remove it first."
        )
    missing = [name for module, name in _NEEDS[format].items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"Export to {format} needs {' and '.join(missing)}: pip install {' '.join(missing)}."
        )
    if format == "litert" and target.suffix != ".tflite":
        raise ValueError(f"Export to litert needs a path that ends in .tflite; received {target}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed, so that a broken export never looks like a whole one.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        part = aside / target.name
        if format == "tf_saved_model":
            _saved_model(model, part, joint, tuple(known), **kwargs)
        else:
            if format == "onnx":
                model.predict(_zeros(model), verbose=0)  # Keras' ONNX export wants a model that ran.
            keras_export(part, format=format, **kwargs)
        os.replace(part, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _zeros(model: Any) -> Any:
    import numpy as np

    def zeros(x: Any) -> Any:
        return np.zeros([1 if n is None else n for n in x.shape], x.dtype)

    return keras.tree.map_structure(zeros, model.input)


def _saved_model(
    model: Any, path: Path, joint: bool, known: tuple[str, ...], verbose: bool = False, **kwargs: Any
) -> None:
    signature = [
        keras.tree.map_structure(
            lambda x: keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name), model.input
        )
    ]
    archive = keras.export.ExportArchive()
    archive.track(model)
    # An archive traces each endpoint twice or more, and a chain is traced for seconds.
    raw = traced_once(_raw(model), signature[0])
    serve = traced_once(_serve(model, raw), signature[0])
    encoder = text_encoder(model)
    if encoder is not None and takes_tokens(model):
        from mtlkeras._backends.tensorflow.strings import add_text_endpoints

        add_text_endpoints(archive, serve, signature, encoder)
    else:
        archive.add_endpoint("serve", serve, input_signature=signature, **kwargs)
    archive.add_endpoint("serve_raw", raw, input_signature=signature, **kwargs)
    for name, function, arguments in joint_endpoints(model, signature[0], decode_outputs, joint, known):
        archive.add_endpoint(name, function, input_signature=arguments, **kwargs)
    archive.write_out(str(path), verbose=verbose)


def _raw(model: Any) -> Callable:
    def serve_raw(inputs: Any) -> dict[str, Any]:
        return dict(model(inputs, training=False))

    return serve_raw


def _serve(model: Any, raw: Callable) -> Callable:
    def serve(inputs: Any) -> dict[str, Any]:
        return decode_outputs(model, raw(inputs))

    return serve


def decode_outputs(model: Any, outputs: dict[str, Any]) -> dict[str, Any]:
    """Returns the decoded answers: `<task>` and what goes with it, as `<task>_probability`.

    Class names come as strings on the TensorFlow backend. JAX has no strings: there the
    answers stay class indices.
    """
    answers = {}
    for task, layer in model.output_layers.items():
        names = layer.head.decoded_names if keras.backend.backend() == "tensorflow" else {}
        for suffix, tensor in layer.decode(outputs[task]).items():
            if suffix in names:
                tensor = _names_of(names[suffix], tensor)
            answers[f"{task}_{suffix}" if suffix else task] = tensor
    return answers


def _names_of(names: tuple[str, ...], indices: Any) -> Any:
    from mtlkeras._backends.tensorflow.strings import gather_names

    return gather_names(names, indices)
