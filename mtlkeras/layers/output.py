"""The last layer of a head."""

from __future__ import annotations

from typing import Any, cast

import keras

from mtlkeras._types import ArrayLike, NamedTensors, Shape, Tensor
from mtlkeras.layers._thresholds import Thresholds
from mtlkeras.specs import Spec


@keras.saving.register_keras_serializable("mtlkeras")
class TaskOutput(keras.layers.Layer):
    """Turns a head's scores into its output and carries the head's spec.

    The layer is named like its task, computes in float32 under any dtype policy, and keeps
    the spec in its config, so that a saved, loaded or cloned model still knows its heads.

    Args:
        head: The `mtlkeras.heads.Head` spec.
        **kwargs: As for every Keras layer; `dtype` is always float32.

    Input and output shapes are those of the head's scores and outputs.
    """

    def __init__(self, head: Spec, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.head = cast(Any, head)  # Of a class above this package.
        if self.head.balanced:  # Weights of classes from the labels of `fit`; 0 until there were any.
            self.class_weights = self.add_weight(
                (self.head.balanced,), name="class_weights", initializer="zeros", trainable=False
            )

    def balanced_weights(self) -> Tensor:
        """Returns the weights of the classes, float32 `(classes,)`; 1 before there were labels."""
        weights = keras.ops.convert_to_tensor(self.class_weights)
        return keras.ops.where(weights > 0, weights, 1.0)

    def call(self, inputs: Tensor) -> Tensor:
        return self.head.activate(self.scores(inputs))

    def scores(self, inputs: Tensor) -> Tensor:
        """Returns the unbounded scores that the head's activation is applied to."""
        return inputs

    def scores_for(self, outputs: Tensor) -> Tensor:
        """Returns scores that give these outputs, for outputs that came without theirs.

        A loss is exact from scores only: a probability of 1 - 1e-9 rounds to 1.
        """
        return self.head.invert(keras.ops.convert_to_tensor(outputs, "float32"))

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the outputs as what Keras' losses and metrics take: probabilities, or numbers."""
        return outputs

    def decode(self, outputs: Tensor) -> NamedTensors:
        """Returns decoded tensors by suffix; see `Head.decode`."""
        return self.head.decode(outputs)

    def answers(self, outputs: Tensor) -> Tensor:
        """Returns only the answers that `decode` gives, for metrics."""
        return self.decode(outputs)[""]

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        shape = self.head.output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["head"] = keras.saving.serialize_keras_object(self.head)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TaskOutput:
        config = dict(config)
        config["head"] = keras.saving.deserialize_keras_object(config["head"])
        return cls(**config)


@keras.saving.register_keras_serializable("mtlkeras")
class RegressionOutput(TaskOutput):
    """Turns standardised scores into numbers in label units.

    `outputs = scores * scale + mean`, with `mean` and `scale` kept as weights that are not
    trained, so they are saved and exported with the model.
    """

    def build(self, input_shape: Shape) -> None:
        targets = input_shape[-1]
        self.mean = self._constant("mean", self.head.mean, targets)
        self.scale = self._constant("scale", self.head.scale, targets)

    def _constant(self, name: str, value: Any, targets: Any) -> Any:
        start = keras.initializers.Constant(list(value) if isinstance(value, tuple) else value)
        return self.add_weight(shape=(targets,), trainable=False, name=name, initializer=start)

    def call(self, inputs: Tensor) -> Tensor:
        return self.head.activate(inputs) * self.scale + self.mean

    def scores_for(self, outputs: Tensor) -> Tensor:
        return self.standardize(outputs)

    def standardize(self, labels: Tensor) -> Tensor:
        """Returns labels of shape `(batch, targets)` on the scale of the scores."""
        return (keras.ops.cast(labels, "float32") - self.mean) / self.scale

    def adapt(self, mean: ArrayLike, scale: ArrayLike) -> None:
        """Sets the mean and scale, each of shape `(targets,)`, in label units."""
        self.mean.assign(mean)
        self.scale.assign(scale)


@keras.saving.register_keras_serializable("mtlkeras")
class OrdinalOutput(Thresholds, TaskOutput):
    """Turns one score into the cumulative logits of ordered classes.

    The logit of "the class is above k" is `score - t_k` with thresholds `t_1 < t_2 < ...`.
    """

    def build(self, input_shape: Shape) -> None:
        self.add_thresholds(self.head.num_classes - 1)

    def scores(self, inputs: Tensor) -> Tensor:
        return inputs - self.thresholds()
