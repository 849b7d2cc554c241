"""Batches of TensorFlow brought to the form that all batches of a mix have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtlkeras._types import Dataset
from mtlkeras.data._mix.forms import Form, MixForm, SourceForm, named_labels


def source_form(name: str, dataset: Dataset) -> SourceForm:
    """Returns what a batch of a data set holds.

    Raises:
        ValueError: If it is not in batches of inputs and labels.
    """
    element = dataset.element_spec
    if not isinstance(element, tuple) or len(element) not in (2, 3):
        raise ValueError(
            f"mix: source '{name}' must give (inputs, labels by task), with or without sample weights; "
            f"it gives {element!r}."
        )
    x, y, *more = element
    labels = {
        task: _form(name, f"labels of task '{task}'", one) for task, one in named_labels(name, y).items()
    }
    if isinstance(x, (tuple, list)):
        raise ValueError(f"mix: the inputs of source '{name}' must be one tensor or a dict of them.")
    single = not isinstance(x, Mapping)
    inputs = {key: _form(name, f"input '{key}'" if key else "input", one) for key, one in _named(x).items()}
    weights = None
    if more and more[0] is not None:
        given = more[0] if isinstance(more[0], Mapping) else dict.fromkeys(labels, more[0])
        weights = {task: _form(name, f"sample weights of task '{task}'", one) for task, one in given.items()}
    return SourceForm(inputs, single, labels, weights)


def _form(source: str, what: str, spec: Any) -> Form:
    import tensorflow as tf

    if not isinstance(spec, tf.TensorSpec):
        raise ValueError(
            f"mix: the {what} of source '{source}' must be a dense tensor; received {type(spec).__name__}. "
            "Its to_tensor or tf.sparse.to_dense in a map makes one."
        )
    if not spec.shape.rank:
        raise ValueError(
            f"mix: the {what} of source '{source}' must have an axis of the batch; received {spec}. Give "
            "batches: dataset.batch(32)."
        )
    return Form(tuple(spec.shape.as_list()[1:]), spec.dtype.name)


def _named(x: Any) -> dict[str, Any]:
    return dict(x) if isinstance(x, Mapping) else {"": x}


def completer(source: str, form: SourceForm, mix: MixForm) -> Callable[..., tuple[Any, ...]]:
    """Returns what completes a batch of a source: with inputs that it lacks, missing labels, weights of 1."""
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert  # It has nothing to convert, which takes its time.
    def complete(x: Any, y: Any, *more: Any) -> tuple[Any, ...]:
        x = _named(x)
        rows = tf.shape(next(iter(x.values())))[:1]
        inputs: dict[str, Any] = {}
        made: dict[tuple[Any, ...], Any] = {}

        def filled(one: Form, value: Any, like: Mapping[str, Any]) -> Any:
            """Returns what is lacking; what is alike is made once."""
            key = (one, str(value), bool(like))
            if key not in made:
                made[key] = _filled(one, rows, value, like, mix)
            return made[key]

        for name, one in mix.inputs.items():
            inputs[name] = x[name] if name in x else filled(one, mix.input_fill(name, source), {})
        labels = dict(named_labels(source, y))
        completed = {
            task: tf.cast(labels[task], one.dtype)
            if task in labels
            else filled(one, mix.label_fill(task), inputs)
            for task, one in mix.labels.items()
        }
        packed = inputs[""] if mix.single else inputs
        if mix.weights is None:
            return packed, completed
        given = more[0] if form.weights else {}
        given = given if isinstance(given, Mapping) else dict.fromkeys(form.labels, given)
        weights = {
            task: tf.cast(given[task], one.dtype) if task in given else filled(one, 1, inputs)
            for task, one in mix.weights.items()
        }
        return packed, completed, weights

    return complete


def _filled(form: Form, rows: Any, value: Any, inputs: Mapping[str, Any], mix: MixForm) -> Any:
    """Returns a batch of one value; an axis without a size of its own is as long as that of an input."""
    import tensorflow as tf

    sizes = [rows]
    for axis, size in enumerate(form.shape):
        name = mix.followed(axis) if size is None and inputs else None
        sizes.append(
            [1 if size is None else size] if name is None else tf.shape(inputs[name])[axis + 1 : axis + 2]
        )
    filled = tf.fill(tf.concat(sizes, 0) if form.shape else rows, tf.constant(value, form.dtype))
    filled.set_shape((None, *form.shape))
    return filled


def batched(rows: Dataset, batch_size: int, mix: MixForm) -> Dataset:
    """Returns batches of completed rows, filled up where the rows differ in length."""
    if all(None not in one.shape for one in _leaves(mix)):
        return rows.batch(batch_size)
    return rows.padded_batch(batch_size, _shapes(rows), padding_values=_fills(rows, mix))


def _shapes(rows: Dataset) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(lambda spec: spec.shape, rows.element_spec)


def _fills(rows: Dataset, mix: MixForm) -> Any:
    import tensorflow as tf

    values = tf.nest.pack_sequence_as(rows.element_spec, fills(mix))
    return tf.nest.map_structure(
        lambda value, spec: tf.constant(value, spec.dtype), values, rows.element_spec
    )


def fills(mix: MixForm) -> list[Any]:
    """Returns what fills up each tensor of a completed batch, in the order in which `tf.nest` flattens it."""
    import tensorflow as tf

    inputs = mix.input_fill("") if mix.single else {name: mix.input_fill(name) for name in mix.inputs}
    found = [inputs, {task: mix.label_fill(task) for task in mix.labels}]
    if mix.weights is not None:
        found.append(dict.fromkeys(mix.weights, 1))
    return tf.nest.flatten(tuple(found))


def _leaves(mix: MixForm) -> list[Form]:
    return [*mix.inputs.values(), *mix.labels.values(), *(mix.weights or {}).values()]


class Rows:
    """Completed batches as flat lists of tensors that can be cut and joined by rows, whatever their lengths.

    A tensor with an axis of no fixed size travels as one value a row (a variant), which is made a tensor
    again when the rows of a batch are together.

    Args:
        element: Structure and forms of a completed batch.
        mix: The form of the mix.
    """

    def __init__(self, element: Any, mix: MixForm) -> None:
        import tensorflow as tf

        self._element, self._fills = element, fills(mix)
        self._specs = tf.nest.flatten(element)
        # The last axis whose size varies, the batch being axis 0.
        self._ragged = [max((i for i, n in enumerate(s.shape) if n is None), default=0) for s in self._specs]

    @property
    def are_encoded(self) -> bool:
        """Whether some tensor travels as one value a row, so that batches must be taken apart."""
        return any(self._ragged)

    def taken_apart(self, *batch: Any) -> tuple[Any, ...]:
        """Returns the tensors of a batch, each with one entry a row, in its structure."""
        import tensorflow as tf

        return tf.nest.map_structure(self._encoded, batch, tf.nest.pack_sequence_as(batch, self._ragged))

    def joined(self, places: Any, *parts: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the batch of the rows of several parts, the i-th of all of them at `places[i]`."""
        import tensorflow as tf

        flat = [tf.nest.flatten(part) for part in parts]
        sizes = tf.stack([tf.shape(part[0])[0] for part in flat])
        placed = tf.split(tf.cast(places, tf.int32), sizes, num=len(parts))
        found = []
        for number, (spec, rank, fill) in enumerate(zip(self._specs, self._ragged, self._fills, strict=True)):
            rows = tf.dynamic_stitch(placed, [part[number] for part in flat])
            value = rows if not rank else self._decoded(rows, rank, spec, fill)
            value.set_shape((None, *spec.shape[1:]))
            found.append(value)
        return tf.nest.pack_sequence_as(self._element, found)

    def _encoded(self, tensor: Any, rank: int) -> Any:
        import tensorflow as tf

        if not rank:
            return tensor
        ragged = tf.RaggedTensor.from_tensor(tensor, ragged_rank=rank)
        splits = list(ragged.nested_row_splits)
        return tf.raw_ops.RaggedTensorToVariant(
            rt_nested_splits=splits, rt_dense_values=ragged.flat_values, batched_input=True
        )

    def _decoded(self, rows: Any, rank: int, spec: Any, fill: Any) -> Any:
        import tensorflow as tf

        found = tf.raw_ops.RaggedTensorFromVariant(
            encoded_ragged=rows,
            input_ragged_rank=rank - 1,
            output_ragged_rank=rank,
            Tvalues=spec.dtype,
            Tsplits=tf.int64,
        )
        ragged = tf.RaggedTensor.from_nested_row_splits(
            found.output_dense_values, found.output_nested_splits, validate=False
        )
        return ragged.to_tensor(tf.constant(fill, spec.dtype))
