"""Three tables of other widths on one base: emissions of a turbine, loads of buildings, voices of patients.

The data sets share no example, no input and no task: each has inputs of its own, which the others lack, and
the merged inputs are projected to a common base (`mtlkeras.trunks.SharedProjection`). A batch is of one data
set (`mtlkeras.data.mix`). Age and sex, which with so few patients tell who speaks, are left out.
"""

from __future__ import annotations

import keras

import mtlkeras
from mtlkeras.heads import Regression
from mtlkeras.trunks import MLP, SharedProjection

EPOCHS = 12
BATCH_SIZE = 64
SEED = 0
MONITOR = "val_loss"
ADAPT = True
RESULT = "test MAE: CO 0.86, NOx 10.7, heating 1.3, cooling 1.8, motor UPDRS 6.9, total UPDRS 7.8 (seed 0)"
DATA = (
    "UCI's tables gas-turbine/gas_turbine.csv.gz, energy-efficiency/energy.csv and "
    "parkinsons/parkinsons_updrs.csv.gz, each in its folder (1.5 MB)."
)

FILES = {
    "turbine": "gas-turbine/gas_turbine.csv.gz",
    "building": "energy-efficiency/energy.csv",
    "voice": "parkinsons/parkinsons_updrs.csv.gz",
}
# The numbers of each make one vector, an input of its name.
NUMBERS = {
    "turbine": ("AT", "AP", "AH", "AFDP", "GTEP", "TIT", "TAT", "TEY", "CDP"),
    "building": (
        *("relative_compactness", "surface_area", "wall_area", "roof_area"),
        *("overall_height", "glazing_area"),
    ),
    "voice": (
        *("test_time", "Jitter(%)", "Jitter(Abs)", "Jitter:RAP", "Jitter:PPQ5", "Jitter:DDP"),
        *("Shimmer", "Shimmer(dB)", "Shimmer:APQ3", "Shimmer:APQ5", "Shimmer:APQ11", "Shimmer:DDA"),
        *("NHR", "HNR", "RPDE", "DFA", "PPE"),
    ),
}
CATEGORIES = {"orientation": (2, 3, 4, 5), "glazing_distribution": (0, 1, 2, 3, 4, 5)}  # Of the buildings.
# What stands for the inputs that a table lacks, so that the projection leaves them out.
MISSING = {**dict.fromkeys(NUMBERS, float("nan")), **dict.fromkeys(CATEGORIES, mtlkeras.MISSING)}
TASKS = {
    "turbine": {"co": "CO", "nox": "NOX"},
    "building": {"heating": "heating_load", "cooling": "cooling_load"},
    "voice": {"motor_updrs": "motor_UPDRS", "total_updrs": "total_UPDRS"},
}
YEARS = {"train": "2011+2012", "valid": "2013", "test": "2014+2015"}
FRACTIONS = {"train": 0.7, "valid": 0.15, "test": 0.15}


def rows(name, split):
    """Returns how a split of a table is chosen: years, at random, and patient by patient."""
    if name == "turbine":
        return {"split": YEARS[split], "split_column": "year"}
    group = {"group_column": "subject#"} if name == "voice" else {}
    return {"split": split, "fractions": FRACTIONS, "seed": SEED, **group}


def data(split, batch_size, data_dir=None):
    tables = {name: table(name, split, batch_size, data_dir) for name in FILES}
    return mtlkeras.data.mix(tables, shuffle=split == "train", fill=MISSING, seed=SEED)


def table(name, split, batch_size, data_dir=None):
    """Returns the batches of one table, with its own inputs and labels."""
    own = name == "building"
    return mtlkeras.data.load(
        FILES[name],
        tasks=TASKS[name],
        inputs={name: NUMBERS[name], **(dict(zip(CATEGORIES, CATEGORIES, strict=True)) if own else {})},
        vocabularies=CATEGORIES if own else None,
        shuffle=split == "train",
        batch_size=batch_size,
        data_dir=data_dir,
        **{"seed": SEED, **rows(name, split)},
    )


def build(hp):
    steps = hp.Fixed("epochs", EPOCHS) * hp.Fixed("steps_per_epoch", 308)
    found = {name: statistics(name, hp.Fixed("data_dir", "")) for name in FILES}
    model = mtlkeras.build_model(
        inputs={
            **{name: keras.Input((len(columns),), name=name) for name, columns in NUMBERS.items()},
            **{name: keras.Input((1,), dtype="int32", name=name) for name in CATEGORIES},
        },
        trunk=SharedProjection(
            hp.Choice("units", [64, 32, 128]),
            MLP(
                depth=hp.Choice("depth", [2, 1, 3]),
                width=hp.Choice("width", [128, 64, 256]),
                dropout=hp.Choice("dropout", [0.3, 0.1, 0.0]),
            ),
            mean={name: mean for name, (mean, _) in found.items()},
            scale={name: scale for name, (_, scale) in found.items()},
            categories={name: len(values) for name, values in CATEGORIES.items()},
        ),
        heads={task: Regression(metrics=("mae", "r2")) for tasks in TASKS.values() for task in tasks},
    )
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=2e-3)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    return model


def statistics(name, data_dir=""):
    """Returns the means and the scales of a table's numbers, of its training split."""
    found = mtlkeras.data.table_statistics(
        FILES[name], NUMBERS[name], data_dir=data_dir, **rows(name, "train")
    )
    return tuple(found.mean.values()), tuple(found.scale.values())
