"""Whether answers are right as often as the model is sure of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mtlkeras._fields import whole_number
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._types import ArrayLike, Data, Labels, PathLike
from mtlkeras.analysis._answers import answers_by_task
from mtlkeras.analysis._arrays import as_numpy
from mtlkeras.analysis._pictures import COLOURS, Table, finished, name_axes, new_figure


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Confidence and accuracy by bin of confidence; made by `calibration`.

    Args:
        edges: The bins' edges, shape `(bins + 1,)`; a bin is open at its lower edge, but for the first.
        confidence: Mean confidence of the answers of each bin, NaN where there are none.
        accuracy: Share of them that is right; of yes/no labels that of "yes".
        counts: How many answers are in each bin.
        title: What was looked at, for the picture.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray
    title: str = "Reliability"

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean over all answers of |accuracy - confidence| of their bin."""
        return float(np.nansum(self._gaps * self.counts) / self.counts.sum())

    @property
    def mce(self) -> float:
        """The maximum calibration error: the largest |accuracy - confidence| of a bin."""
        return float(np.nanmax(self._gaps))

    @property
    def _gaps(self) -> np.ndarray:
        return np.abs(self.accuracy - self.confidence)

    def frame(self) -> Table:
        """Returns the bins as columns by name, as `pandas` takes them."""
        return {
            "from": self.edges[:-1].tolist(),
            "to": self.edges[1:].tolist(),
            "answers": self.counts.tolist(),
            "confidence": self.confidence.tolist(),
            "accuracy": self.accuracy.tolist(),
        }

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws accuracy and numbers of answers by confidence; returns the `matplotlib` figure.

        Bars below the diagonal are answers that the model is too sure of.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        figure = new_figure(4.5, 5)
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
        bars = {"x": self.edges[:-1], "width": np.diff(self.edges), "align": "edge", "edgecolor": "w"}
        above.bar(height=np.nan_to_num(self.accuracy), color=COLOURS[0], **bars)
        above.plot(self.confidence, self.accuracy, "o", color=COLOURS[1], markersize=4, label="mean of a bin")
        above.plot((0, 1), (0, 1), "--", color="0.4", linewidth=1, label="as sure as right")
        above.set_xlim(min(0.0, float(self.edges[0])), 1)
        above.set_ylim(0, 1)
        above.legend(fontsize=8, frameon=False, loc="upper left")
        below.bar(height=self.counts, color="0.6", **bars)
        name_axes(above, f"{self.title}: ECE {self.ece:.3f}", "", "accuracy")
        name_axes(below, "", "confidence", "answers")
        return finished(figure, path)


def calibration(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = 15, adaptive: bool = False
) -> Calibration:
    """Compares how sure a classifier is with how often it is right.

    The answers are put in bins by their confidence. Of classes the likeliest is the answer, and its
    probability the confidence; of yes/no labels the probability of "yes" is compared with the share of "yes".

    Args:
        probabilities: Shape `(examples, classes)`; or, for yes/no labels, that of the labels.
        labels: Class indices, shape `(examples,)`, or zeros and ones of any shape; -1 or NaN where one is
            missing.
        bins: How many bins.
        adaptive: Whether the bins have as many answers each, but for equal confidences, in place of one
            width.

    Raises:
        ValueError: If shapes do not fit, probabilities are not from 0 to 1, a label is no class, or none is
            there.

    Example:

    ```python
    found = mtlkeras.analysis.calibration([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], [0, 1, 1])
    found.ece  # 0.4: of the two answers of confidence 0.9 half are right, and the one of 0.6
    ```

    References:
        - Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3 (ECE).
        - Nguyen and O'Connor 2015, Posterior calibration and exploratory analysis (bins of equal counts).
    """
    chance, known = as_numpy(probabilities).astype("float64"), as_numpy(labels).astype("float64")
    yes_no = chance.shape == known.shape
    if not yes_no and (chance.ndim != known.ndim + 1 or chance.shape[:-1] != known.shape):
        raise ValueError(
            f"calibration: probabilities of shape {chance.shape} need labels of shape {chance.shape[:-1]}, "
            f"or for yes/no labels {chance.shape}; received shape {known.shape}."
        )
    there = ~np.isnan(known) & (known != -1)
    classes = 2 if yes_no else chance.shape[-1]
    chance, known = chance[there], known[there]
    if not ((known >= 0) & (known < classes) & (known % 1 == 0)).all():
        raise ValueError(f"calibration: labels must be -1, NaN or the classes 0 to {classes - 1}.")
    if yes_no:
        return binned(chance, known == 1, bins, adaptive)
    return binned(chance.max(-1, initial=0.0), chance.argmax(-1) == known, bins, adaptive)


def calibration_by_task(
    model: MultiTaskModel, x: Data, y: Labels, bins: int = 15, adaptive: bool = False, batch_size: int = 32
) -> dict[str, Calibration]:
    """Returns the calibration of each task with classes: see `calibration`.

    Of heads that tag steps or pixels each is an answer, of `CRFTagging` and `HMMTagging` with its probability
    given the whole sequence; of `Ordinal` the answer is the median. The entries of `MultiLabel`, or of masks,
    go into one calibration of "yes". Tasks of numbers have none and are left out.

    Args:
        model: The model.
        x: The examples, as for `predict`.
        y: Their labels by task, as for `fit`; missing ones are left out.
        bins: How many bins.
        adaptive: As for `calibration`.
        batch_size: As for `predict`.

    Raises:
        ValueError: If no task has classes, one has no label at all, or labels do not fit.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(3), "size": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads)
    y = {"kind": np.arange(20) % 3, "size": np.ones(20)}
    found = mtlkeras.analysis.calibration_by_task(model, np.ones((20, 4)), y)
    found["kind"].ece
    ```
    """
    answers = answers_by_task(model, x, y, "calibration_by_task", batch_size)
    return {
        task: dataclasses.replace(
            binned(found.confidence, found.right, bins, adaptive, f" of task '{task}'"),
            title=f"Reliability of {task}",
        )
        for task, found in answers.items()
    }


def binned(confidence: np.ndarray, right: np.ndarray, bins: int, adaptive: bool, of: str = "") -> Calibration:
    """Returns the calibration of answers of a confidence, each right or not.

    Raises:
        ValueError: If there is none, or a confidence is not from 0 to 1.
    """
    bins = whole_number("calibration", "bins", bins)
    if not confidence.size:
        raise ValueError(f"calibration{of}: there is no label.")
    # Marginals of long chains, sums of float32, are a little over 1.
    if not ((confidence >= 0) & (confidence <= 1 + 1e-4)).all():
        raise ValueError(f"calibration{of}: probabilities must be from 0 to 1; received {confidence.max()}.")
    confidence = np.minimum(confidence, 1.0)
    edges = np.linspace(0.0, 1.0, bins + 1)
    if adaptive:
        edges = np.unique(np.quantile(confidence, edges))
        edges = edges if len(edges) > 1 else np.array([edges[0], np.nextafter(edges[0], 2.0)])
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(place, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, v, len(counts)) / counts for v in (confidence, right.astype("float64"))]
    return Calibration(edges, means[0], means[1], counts)
