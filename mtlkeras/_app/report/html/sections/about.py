"""What was run, how large and fast the model is, and what could not be shown."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mtlkeras._app.report.evidence import RunEvidence, Size
from mtlkeras._app.report.html.markup import text
from mtlkeras._app.report.html.parts import Numbers, Section


def size(run: RunEvidence) -> Section | None:
    """Shows weights, operations, the file and the time of a prediction."""
    if run.size is None:
        return None
    rows = size_rows(run.size, run.config)
    columns = {"what": list(rows), "value": list(rows.values())}
    notes = ["Times are medians of a few calls of `predict_on_batch` on the machine that wrote this."]
    return Section("Size and speed", [Numbers("size", columns, "The model", is_open=True), *notes])


def size_rows(found: Size, config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the size and speed of a model in words by what they are."""
    times = {
        f"milliseconds for {count} example{'s' * (count > 1)}": f"{value:.3g}"
        for count, value in found.milliseconds.items()
    }
    told = {
        "weights": f"{found.weights:,}",
        "of them shared": None if found.shared is None else f"{found.shared:,}",
        "operations for one example": None if found.flops is None else f"{found.flops:,}",
        "model file": None if found.file is None else f"{found.file / 1e6:.2f} MB",
        **times,
        "seconds of training": f"{config['seconds']:.0f}" if "seconds" in config else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def settings(run: RunEvidence) -> Section:
    """Shows what was run, with which versions."""
    rows = settings_rows(run.config)
    columns = {"what": list(rows), "value": list(rows.values())}
    use = (
        "`mtlkeras.load_model('model.keras')` loads the model; `mtlkeras predict RUN` and "
        "`mtlkeras export RUN` use it."
    )
    return Section("What was run", [Numbers("settings", columns, is_open=True), use])


def settings_rows(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns what was run in words by what it is."""
    phases = itertools.groupby(config.get("phases", ()))
    told = {
        "recipe": config.get("recipe"),
        "started": config.get("started"),
        "status": config.get("status"),
        "epochs": config.get("epochs"),
        "phases": ", ".join(f"{name} {len(list(found))}" for name, found in phases) or None,
        "batch size": config.get("batch_size"),
        "seed": config.get("seed"),
        "monitored": config.get("monitor"),
        "dtype policy": config.get("dtype_policy"),
        "backend": config.get("backend"),
        "versions": ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items()),
        **{f"setting {name}": value for name, value in config.get("settings", {}).items() if value != ""},
    }
    return {
        name: f"{value:g}" if isinstance(value, float) else text(value)
        for name, value in told.items()
        if value is not None
    }


def failures(told: list[str], left_out: int) -> Section | None:
    """Tells what could not be made, and what was left out."""
    more = (
        [f"{left_out} pictures are left out to keep the page small; they are in the folder beside it."]
        if left_out
        else []
    )
    return Section("What is missing here", [*told, *more]) if told or more else None
