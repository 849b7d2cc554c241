"""Writes pytorch_crf.json: values of pytorch-crf 0.7.2, in float64, for tests of the CRF layer.

pip install torch pytorch-crf==0.7.2
python tests/layers/make_pytorch_crf.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torchcrf import CRF

ROWS, LENGTH, TAGS = 5, 8, 4


def main() -> None:
    rng = np.random.default_rng(0)
    shapes = {
        "emissions": (ROWS, LENGTH, TAGS),
        "transitions": (TAGS, TAGS),
        "start": (TAGS,),
        "end": (TAGS,),
    }
    given = {name: rng.normal(size=shape).round(3).tolist() for name, shape in shapes.items()}
    given["tags"] = rng.integers(0, TAGS, (ROWS, LENGTH)).tolist()
    # Masks as that library takes them: a first step in each, and padding at the end.
    given["mask"] = [[int(step < length) for step in range(LENGTH)] for length in (8, 5, 1, 7, 2)]

    torch.set_default_dtype(torch.float64)
    crf = CRF(TAGS, batch_first=True)
    emissions = torch.tensor(given["emissions"], requires_grad=True)
    weights = {
        "transitions": crf.transitions,
        "start": crf.start_transitions,
        "end": crf.end_transitions,
    }
    for name, weight in weights.items():
        weight.data = torch.tensor(given[name])
    mask = torch.tensor(given["mask"], dtype=torch.bool)
    likelihood = crf(emissions, torch.tensor(given["tags"]), mask, reduction="none")
    likelihood.sum().backward()
    found = {
        "log_likelihood": likelihood.tolist(),
        "decoded": crf.decode(emissions, mask),
        "gradients": {name: x.grad.tolist() for name, x in {"emissions": emissions, **weights}.items()},
    }
    path = Path(__file__).with_name("pytorch_crf.json")
    path.write_text(json.dumps({"given": given, "found": found}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
