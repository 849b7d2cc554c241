"""Tasks that pull the shared trunk against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mtlkeras._app.checks._series import numbers
from mtlkeras._app.checks.check import Check
from mtlkeras._app.checks.facts import Finding, RunFacts

WEAKEST = -0.05

CONFLICT = Check(
    "MTL004",
    "Conflicting tasks",
    "The cosine of two tasks' gradients is negative in more of the looks than chance would have it, at least "
    f"n/2 + √n of n, and {WEAKEST} or less in half of them.",
)


def conflicting_tasks(facts: RunFacts) -> Iterator[Finding]:
    """Finds pairs of tasks whose gradients have a cosine under zero for most of training.

    Gradients that have nothing to do with each other scatter around zero: of n looks n/2 + √n negative ones
    are two standard deviations of a fair coin above half. So four looks, all of them negative, are the fewest
    that tell. With cosines nearer to zero than -0.05, and gradients of one length, each task loses less than
    a twentieth of what a step does for it.
    """
    for (a, b), series in facts.cosines.items():
        cosines = numbers(series)
        negative = int((cosines < 0).sum())
        if not len(cosines) or negative < len(cosines) / 2 + math.sqrt(len(cosines)):
            continue
        middle = float(np.median(cosines))
        if middle > WEAKEST:
            continue
        yield CONFLICT.finding(
            None,
            f"The gradients of '{a}' and '{b}' have a negative cosine in {negative} of {len(cosines)} looks, "
            f"{middle:.2f} in the middle.",
            "Take a balancer that deals with conflicts (PCGrad, CAGrad, Aligned-MTL), share less "
            "(CrossStitch, PLE, a head at an earlier tap), or train one of the two apart: mtlkeras baseline "
            "tells which is better alone.",
        )
