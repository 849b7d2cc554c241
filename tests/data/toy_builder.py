"""A tiny TFDS data set that is made without network."""

from __future__ import annotations

import numpy as np
import tensorflow_datasets as tfds

SIZES = {"train": 12, "test": 5}
COLOURS = ("red", "green", "blue")
FRUITS = ("apple", "pear", "fig")


class ToyFruit(tfds.core.GeneratorBasedBuilder):
    """Pictures of different sizes with labels of every kind."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "small": tfds.features.Image(shape=(2, 2, 1)),
            "colour": tfds.features.ClassLabel(names=COLOURS),
            "fruit": tfds.features.Text(),
            "weight": tfds.features.Scalar(np.float32),
            "grade": tfds.features.Scalar(np.int64),
            "ripe": np.bool_,
            "pair": tfds.features.Tensor(shape=(2,), dtype=np.float64),
            "nested": {"inner": tfds.features.ClassLabel(num_classes=2)},
        }
        features = tfds.features.FeaturesDict(features)
        return self.dataset_info_from_configs(features=features, supervised_keys=("small", "colour"))

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in SIZES}

    def _generate_examples(self, name):
        for i in range(SIZES[name]):
            yield (
                i,
                {
                    "image": np.full((3 + i % 2, 4, 3), 10 * i, np.uint8),
                    "small": np.full((2, 2, 1), i, np.uint8),
                    "colour": -1 if i == 4 else i % 3,
                    "fruit": "" if i == 3 else FRUITS[(i if name == "train" else 2) % 3],
                    "weight": np.nan if i == 2 else i / 2,
                    "grade": i % 5,
                    "ripe": i % 2 == 0,
                    "pair": np.array([i, -i], np.float64),
                    "nested": {"inner": i % 2},
                },
            )
