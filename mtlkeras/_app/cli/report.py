"""`mtlkeras report`: a page of one run, or of several side by side."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from mtlkeras._app.checks import Finding, known_checks
from mtlkeras._app.cli.quiet import without_retracing_notes
from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.html import write_page
from mtlkeras._app.report.html.parts import Section
from mtlkeras._app.report.html.sections.baseline import baseline
from mtlkeras._app.report.html.sections.compare import side_by_side
from mtlkeras._app.runs.evidence import (
    check_data,
    check_tasks,
    compared_in,
    evidence_in_training,
    evidence_of,
    names_apart,
)
from mtlkeras._app.runs.folder import RunFolder, find_run, is_run

PAGE = "report.html"
CHECKS_FIRED = 3


def report(args: argparse.Namespace) -> int:
    """Writes the page; returns 3 if a check fired of those that `--fail-on` names."""
    _check(args)
    without_retracing_notes()
    comparison = _comparison(args.runs)
    runs = [] if comparison else _different([find_run(name) for name in args.runs])
    path = Path(args.out) if args.out else _default(comparison, runs)
    _check_place(path)
    page = _looked_at(comparison, runs, args.data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    tell(page.write(path))
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    return _fired(page.found, args.fail_on)


@dataclasses.dataclass(frozen=True)
class _Page:
    """A page that can be written: its title, what is known of the runs, and sections before theirs."""

    title: str
    found: Sequence[RunEvidence]
    first: Sequence[Section] = ()

    def write(self, path: Path) -> list[str]:
        """Writes the page; returns what could not be made."""
        return write_page(path, self.title, self.found, self.first)


def _looked_at(comparison: RunFolder | None, runs: Sequence[RunFolder], data_dir: str | None) -> _Page:
    """Looks at runs, or at those of a comparison, one after the other."""
    first: list[Section] = []
    if comparison is not None:
        tasks, runs = compared_in(comparison)
        first.append(baseline(tasks))
    check_tasks(runs)
    found = []
    for run, name in zip(runs, names_apart(runs), strict=True):
        keras.utils.clear_session()
        found.append(dataclasses.replace(evidence_of(run, data_dir), name=name))
    if len(found) > 1:
        check_data(list(zip(runs, found, strict=True)))
        first += side_by_side(found)
    return _Page(_title(found, comparison), found, first)


def _check(args: argparse.Namespace) -> None:
    known_checks(one for one in args.fail_on if one != "any")
    if args.data_dir is not None and not Path(args.data_dir).is_dir():
        raise FileNotFoundError(f"--data-dir {args.data_dir} is not a folder.")
    if args.out is not None and Path(args.out).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out must be the name of an .html file; received {args.out}.")


def _check_place(path: Path) -> None:
    """Raises an error if a page cannot be written, before the minute that it takes to look at runs."""
    beside = path.with_suffix("")
    if path.is_dir() or (beside.exists() and not beside.is_dir()):
        wrong, other = (path, "a folder") if path.is_dir() else (beside, "a file")
        raise FileExistsError(
            f"{wrong} is {other}: the page is a file, beside it is a folder of its name with the tables "
            "and pictures. Choose another place by --out."
        )
    above = next(folder for folder in (beside, *beside.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"Nothing can be written into {above}. Choose another place by --out.")


def _comparison(names: Sequence[str]) -> RunFolder | None:
    """Returns the folder of a comparison, if one is asked for."""
    found = [path for name in names for path in (Path(name), Path("runs") / name) if is_run(path)]
    folders = [RunFolder(path) for path in found if "baseline" in RunFolder(path).config]
    if folders and len(names) > 1:
        raise ValueError(
            f"{folders[0]} is a comparison of runs, which has a report by itself: name it alone."
        )
    return folders[0] if folders else None


def _different(runs: list[RunFolder]) -> list[RunFolder]:
    paths = [run.path.resolve() for run in runs]
    twice = next((run for run, path in zip(runs, paths, strict=True) if paths.count(path) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is named twice.")
    return runs


def _default(comparison: RunFolder | None, runs: Sequence[RunFolder]) -> Path:
    """Returns where the page is written: in the run, or of several beside the first one's folder."""
    if comparison is not None:
        return comparison.file(PAGE)
    return runs[0].file(PAGE) if len(runs) == 1 else runs[0].path.resolve().parent / PAGE


def _title(found: Sequence[RunEvidence], comparison: RunFolder | None) -> str:
    recipes = " and ".join(dict.fromkeys(one.config["recipe"] for one in found))
    if comparison is not None:
        return f"{recipes}: tasks together and alone"
    return f"{recipes}: {found[0].name}" if len(found) == 1 else f"{recipes}: {len(found)} runs"


def page_after_training(run: RunFolder, model: Any, data: Mapping[str, Any]) -> None:
    """Writes the page of a run that was just trained into its folder.

    The run is finished whatever becomes of its page: what fails is said, and the rest is there.

    Args:
        run: The run's folder.
        model: The model of its best epoch.
        data: Its data by split.
    """

    def look() -> _Page:
        found = [evidence_in_training(run, model, data)]
        return _Page(_title(found, None), found)

    _page_at_the_end(run, look)


def page_of_folder(folder: RunFolder, data_dir: str | None) -> None:
    """Writes the page of a comparison or a search that has just ended into its folder.

    That is finished whatever becomes of its page: what fails is said, and the rest is there.

    Args:
        folder: The folder.
        data_dir: Folder of the data, if it is another than when it began.
    """
    is_comparison = "baseline" in folder.config
    _page_at_the_end(
        folder,
        lambda: _looked_at(folder if is_comparison else None, [] if is_comparison else [folder], data_dir),
    )


def _page_at_the_end(folder: RunFolder, look: Callable[[], _Page]) -> None:
    without_retracing_notes()
    attempt = Attempts()
    # A page of before, as of a search with fewer trials, would tell of what is no longer so.
    attempt("the page of before", folder.file(PAGE).unlink, missing_ok=True)
    page = attempt("what the page tells", look)
    told = attempt("the page", page.write, folder.file(PAGE)) if page is not None else None
    tell([*attempt.failures, *(told or [])])


def results_in(folder: RunFolder, text: str) -> str:
    """Returns where the results are, for a line: the page, if there is one, and a Markdown file.

    Args:
        folder: The folder.
        text: Name of the Markdown file.
    """
    page = folder.file(PAGE)
    return f"{page} and {text}" if page.exists() else str(folder.file(text))


def tell(failures: Iterable[str]) -> None:
    """Says what could not be made."""
    for line in failures:
        print(f"note: not in the report: {line}", file=sys.stderr, flush=True)


def _fired(found: Sequence[RunEvidence], fail_on: Sequence[str]) -> int:
    """Returns the exit status by what the checks found, and says what fired."""
    fired = [(run.name, one) for run in found for one in run.findings if _counts(one, fail_on)]
    for name, one in fired:
        where = f", {one.task}" if one.task is not None else ""
        print(f"{one.check} in {name}{where}: {one.title}. {one.evidence}", file=sys.stderr, flush=True)
    return CHECKS_FIRED if fired else 0


def _counts(one: Finding, fail_on: Sequence[str]) -> bool:
    return "any" in fail_on or one.check in fail_on
