"""Several runs side by side: results, curves, sizes and what was set otherwise."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.html.drawings import draw_lines, style_of
from mtlkeras._app.report.html.markup import text, with_code
from mtlkeras._app.report.html.parts import Markup, Numbers, Picture, Section
from mtlkeras._app.report.html.sections.about import settings_rows, size_rows
from mtlkeras._app.report.html.sections.training import results_table
from mtlkeras._app.report.tables import ALL_TASKS

_OF_A_RUN = ("started", "status", "seed")


def side_by_side(runs: Sequence[RunEvidence]) -> list[Section]:
    """Returns the sections that compare runs of the same tasks.

    Args:
        runs: The runs, at least two.
    """
    found = [_verdict(runs), _results(runs), _curves(runs), _sizes(runs)]
    return [section for section in found if section is not None]


def seeds_differ(runs: Sequence[RunEvidence]) -> bool:
    """Returns whether the runs are the same but for their seeds, so that their spread is one over seeds."""
    seeds = [run.config.get("seed") for run in runs]
    return len(set(seeds)) == len(seeds) and not _different(runs)


def _test(run: RunEvidence, task: str) -> float | None:
    return run.metrics.get("test", {}).get(f"{task}_{run.tasks[task].metric}")


def _verdict(runs: Sequence[RunEvidence]) -> Section:
    by_seed = seeds_differ(runs)
    sentences = []
    for task, one in runs[0].tasks.items():
        known = {run.name: float(v) for run in runs if (v := _test(run, task)) is not None}
        if len(known) < 2:
            continue
        best = (max if one.higher_is_better else min)(known, key=lambda name: known[name])
        if by_seed:
            spread = with_spread(list(known.values()))
            sentences.append(f"{task}: {one.metric} {spread} over {len(known)} seeds on the test split.")
        elif len(set(known.values())) == 1:
            sentences.append(f"{task}: {one.metric} {text(known[best])} in all runs.")
        else:
            others = ", ".join(f"{name} {text(value)}" for name, value in known.items() if name != best)
            sentences.append(f"{task}: `{best}` is best by {one.metric}, {text(known[best])} ({others}).")
    sentences.append(_what_differs(runs, by_seed))
    items = "".join(f"<li>{with_code(sentence)}</li>" for sentence in sentences)
    return Section("Side by side", [Markup(f'<ul class="verdict">{items}</ul>')])


def _what_differs(runs: Sequence[RunEvidence], by_seed: bool) -> str:
    if by_seed:
        return "The runs differ in their seeds only; ± is the standard deviation over them."
    different = _different(runs)
    seeds = {run.config.get("seed") for run in runs}
    if not different and len(seeds) == 1:
        return f"All runs have the seed {seeds.pop()}, so nothing here tells of the spread over seeds."
    told = f"The runs differ in {', '.join(different)}. " if different else ""
    return (
        f"{told}With one run of a kind, a small difference may be the seed's: "
        "`mtlkeras train RECIPE --seed N` makes more."
    )


def with_spread(values: Sequence[float]) -> str:
    """Returns a mean and the standard deviation."""
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    if 1e-3 <= abs(mean) < 10:
        return f"{mean:.4f} ± {deviation:.4f}"
    return f"{text(mean)} ± {deviation:.3g}"


def _results(runs: Sequence[RunEvidence]) -> Section | None:
    tables = [(run, results_table(run.metrics, list(runs[0].tasks))) for run in runs if run.metrics]
    if not tables:
        return None
    cells = {
        run.name: dict(zip(zip(t["task"], t["metric"], strict=True), t["test"], strict=True))
        for run, t in tables
    }
    rows = list(dict.fromkeys(row for found in cells.values() for row in found))
    columns = {
        "task": [task for task, _ in rows],
        "metric": [metric for _, metric in rows],
        **{name: [found.get(row) for row in rows] for name, found in cells.items()},
    }
    if len(tables) > 1 and seeds_differ([run for run, _ in tables]):
        values = [[found[row] for found in cells.values() if found.get(row) is not None] for row in rows]
        columns["mean ± deviation"] = [with_spread(v) if len(v) > 1 else "" for v in values]
    return Section("Results on the test split", [Numbers("side-by-side", columns, "By run", is_open=True)])


def _curves(runs: Sequence[RunEvidence]) -> Section | None:
    tasks = {task: f"val_{task}_{one.metric}" for task, one in runs[0].tasks.items()}
    pictures = [_curve(runs, task, name) for task, name in {**tasks, ALL_TASKS: "val_loss"}.items()]
    known = [picture for picture in pictures if picture is not None]
    return Section("Learning curves of all runs", known) if known else None


def _curve(runs: Sequence[RunEvidence], task: str, name: str) -> Picture | None:
    found = {run.name: list(run.history[name]) for run in runs if name in run.history}
    if not found:
        return None
    metric = name.removeprefix("val_").removeprefix(f"{task}_")
    title = f"{task}: {metric} of the validation split"
    lines = {
        label: (range(1, len(values) + 1), values, number, style_of(number))
        for number, (label, values) in enumerate(found.items())
    }
    draw = functools.partial(draw_lines, title=title, x_label="epoch", y_label=metric, lines=lines)
    epochs = max(map(len, found.values()))
    padded = {label: [*values, *[None] * (epochs - len(values))] for label, values in found.items()}
    numbers = Numbers(f"curves-{task}", {"epoch": [*range(1, epochs + 1)], **padded}, "Numbers by epoch")
    ends = "; ".join(f"{label} ends at {text(values[-1])}" for label, values in found.items())
    return Picture(title, f"{metric} by epoch: {ends}.", draw, numbers)


def _sizes(runs: Sequence[RunEvidence]) -> Section:
    told = {run.name: size_rows(run.size, run.config) if run.size else {} for run in runs}
    rows = list(dict.fromkeys(name for one in told.values() for name in one))
    sizes = {"what": rows, **{name: [one.get(row, "") for row in rows] for name, one in told.items()}}
    parts = [Numbers("sizes", sizes, "Size and speed", is_open=True)]
    different = _different(runs)
    if different:
        settings = {run.name: settings_rows(run.config) for run in runs}
        columns = {
            "what": different,
            **{name: [one.get(row, "") for row in different] for name, one in settings.items()},
        }
        parts.append(Numbers("differences", columns, "What was set otherwise", is_open=True))
    return Section("Sizes and settings", parts)


def _different(runs: Sequence[RunEvidence]) -> list[str]:
    """Returns the names of what was not the same in all runs, but for seeds and times."""
    settings = [settings_rows(run.config) for run in runs]
    names = dict.fromkeys(name for one in settings for name in one if name not in _OF_A_RUN)
    return [name for name in names if len({one.get(name) for one in settings}) > 1]
