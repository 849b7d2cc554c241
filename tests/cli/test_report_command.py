"""`mtlkeras report`: the page of a run that was trained, what ends with which status, and bad input."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from mtlkeras._app.cli import main
from mtlkeras._app.cli import report as command
from mtlkeras._app.runs.evidence import names_apart
from mtlkeras._app.runs.folder import RunFolder
from tests.cli.made_runs import EVIL, full_run

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def run(trained, in_tmp, monkeypatch):
    """A copy of a finished run, without its page; a report of it draws nothing."""
    folder = in_tmp / "runs/tiny-1"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("report*", "saved_model", "tensorboard"))
    monkeypatch.setattr("mtlkeras._app.report.html.page._has_matplotlib", lambda: False)
    return folder


def test_training_ends_with_the_page(trained):
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "tiny: tiny-1" in page and "finished" in page and "What is missing here" not in page
    assert 'id="classes"' in page and 'id="numbers"' in page and 'id="worst_errors"' in page
    assert (trained / "report/results.csv").is_file()
    said = (trained.parents[1] / "said.txt").read_text()
    assert "report.html and report.md" in said


def test_a_run_has_its_page_in_its_folder(run, capsys):
    assert main(["report", "tiny-1"]) == 0
    assert "report: runs/tiny-1/report.html" in capsys.readouterr().out
    test = json.loads((run / "metrics.json").read_text())["test"]
    assert f"{test['side_accuracy']:.4f}" in (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def looked_at(monkeypatch):
    """What a report takes runs for, by the names of their folders, in place of looking at them."""
    found = {}
    monkeypatch.setattr(command, "evidence_of", lambda run, data_dir: found[run.path.name])
    return found


def test_two_runs_side_by_side_and_a_run_without_results(run, in_tmp, looked_at):
    shutil.copytree(run, in_tmp / "runs/tiny-2")
    unfinished = dataclasses.replace(full_run("tiny-2", status="interrupted", seed=1), metrics={})
    looked_at.update({"tiny-1": full_run("tiny-1"), "tiny-2": unfinished})
    assert main(["report", "tiny-1", "tiny-2", "--out", "pages/two.html"]) == 0
    page = (in_tmp / "pages/two.html").read_text(encoding="utf-8")
    assert "Side by side" in page and "The run is interrupted, not finished" in page
    assert (in_tmp / "pages/two/tiny-1-results.csv").is_file()
    assert not (in_tmp / "pages/two/tiny-2-results.csv").exists()
    assert not (run / "report.html").exists()
    assert main(["report", "tiny-1", "tiny-2"]) == 0
    assert (in_tmp / "runs/report.html").is_file() and (in_tmp / "runs/report/side-by-side.csv").is_file()


@pytest.mark.parametrize(("fail_on", "code"), [("MTL001", 3), ("MTL002,MTL003", 0), ("any", 3), (None, 0)])
def test_a_check_that_fires_ends_with_a_status_of_its_own(run, looked_at, capsys, fail_on, code):
    looked_at["tiny-1"] = full_run("tiny-1")
    words = ["--fail-on", fail_on] if fail_on else []
    assert main(["report", str(run), *words]) == code
    assert (f"MTL001 in tiny-1, {EVIL}: Too bad. 0.1 of" in capsys.readouterr().err) == (code == 3)
    assert "Do <code>this</code> &amp; that." in (run / "report.html").read_text(encoding="utf-8")


def test_a_failing_page_leaves_the_training_finished(run, monkeypatch, capsys):
    def broken(*args):
        raise RuntimeError("no paper")

    monkeypatch.setattr(command, "write_page", broken)
    monkeypatch.setattr(command, "evidence_in_training", lambda run, model, data: full_run())
    command.page_after_training(RunFolder(run), None, {})
    assert "note: not in the report: the page: RuntimeError: no paper" in capsys.readouterr().err


def _changed(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_bad_input_is_told(run, in_tmp, capsys):
    """Nothing is loaded for these: what is wrong is seen by names and small files."""
    (in_tmp / "empty").mkdir()
    for name in ("other", "bare", "search", "comparison"):
        shutil.copytree(run, in_tmp / "runs" / name)
    runs = in_tmp / "runs"
    _changed(runs / "other", tasks=["side"])
    _changed(runs / "bare", status="failed")
    (runs / "bare/history.json").unlink()
    _changed(runs / "search", fingerprint={}, status="running")
    _changed(runs / "comparison", baseline={}, status="running")
    for words, told in (
        (["empty"], "empty is not the folder of a run: it has no config.json of one."),
        (["tiny-3"], "No run 'tiny-3'. Did you mean 'tiny-1'?"),
        (
            ["bare"],
            "runs/bare has no history: the run is failed, and no epoch was completed. To go on with it",
        ),
        (["tiny-1", "other"], "has the tasks side, far, and runs/other the tasks side: side by side"),
        (["tiny-1", "runs/tiny-1"], "runs/tiny-1 is named twice."),
        (["tiny-1", "comparison"], "is a comparison of runs, which has a report by itself: name it alone."),
        (
            ["comparison"],
            "The comparison in runs/comparison is not finished. To go on with it: mtlkeras base",
        ),
        (["search"], "The search in runs/search is running and has no results yet"),
        (["tiny-1", "--out", "page.pdf"], "--out must be the name of an .html file; received page.pdf."),
        (["tiny-1", "--data-dir", "nowhere"], "--data-dir nowhere is not a folder."),
    ):
        assert main(["report", *words]) == 2, words
        assert told in capsys.readouterr().err, words
    with pytest.raises(SystemExit):
        main(["report", "tiny-1", "--fail-on", "a,,b"])


def test_what_is_damaged_or_gone_is_named(run, in_tmp, capsys):
    for number, (file, content, told) in enumerate(
        (
            ("metrics.json", "{", "metrics.json is damaged: Expecting property name"),
            ("history.json", "[", "history.json is damaged: Expecting value"),
            (
                "recipe.py",
                None,
                "has lost its recipe.py, without which its data are not known. Copy",
            ),
            (
                "recipe.py",
                "import no_such_module",
                "recipe.py cannot be loaded: No module named",
            ),
            ("recipe.py", "def build(:", "recipe.py is not valid Python"),
        )
    ):
        folder = in_tmp / f"runs/damaged-{number}"
        shutil.copytree(run, folder)
        (folder / file).unlink()
        if content is not None:
            (folder / file).write_text(content)
        assert main(["report", str(folder)]) == 2
        assert told in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_before_runs_are_looked_at(run, in_tmp, capsys, monkeypatch):
    (in_tmp / "folder.html").mkdir()
    for name in ("file", "page"):
        (in_tmp / name).touch()
    for out, told in (
        ("folder.html", "folder.html is a folder: the page is a file"),
        ("page.html", "page is a file: the page is a file, beside it is a folder of its name"),
        ("file/page.html", f"Nothing can be written into {in_tmp / 'file'}. Choose another place by --out."),
    ):
        assert main(["report", "tiny-1", "--out", out]) == 2
        assert told in capsys.readouterr().err
    monkeypatch.setattr(command.os, "access", lambda path, mode: False)  # As of a read-only folder.
    assert main(["report", "tiny-1"]) == 2
    assert "Nothing can be written into" in capsys.readouterr().err
    assert sorted(path.name for path in in_tmp.iterdir()) == ["file", "folder.html", "page", "runs"]


def test_runs_of_one_name_are_told_apart_by_their_folders(run, in_tmp, looked_at):
    for folder in ("a", "b"):
        shutil.copytree(run, in_tmp / folder / "tiny-1")
    looked_at["tiny-1"] = full_run("tiny-1")
    assert main(["report", "a/tiny-1", "b/tiny-1", "--out", "two.html"]) == 0
    page = (in_tmp / "two.html").read_text(encoding="utf-8")
    assert "All of a/tiny-1" in page and "All of b/tiny-1" in page
    header = (in_tmp / "two/side-by-side.csv").read_text().splitlines()[0]
    assert header.startswith("task,metric,a/tiny-1,b/tiny-1")


def test_runs_have_as_much_of_their_paths_as_tells_them_apart():
    paths = ("/x/a/run", "/y/a/run", "/x/other", "/a/run")
    names = names_apart([RunFolder(path) for path in paths])
    assert names == ["x/a/run", "y/a/run", "other", "/a/run"]


def test_runs_on_other_data_are_not_compared(run, in_tmp, capsys, looked_at):
    shutil.copytree(run, in_tmp / "runs/tiny-2")
    looked_at.update({"tiny-1": full_run(), "tiny-2": dataclasses.replace(full_run(), digest="def")})
    assert main(["report", "tiny-1", "tiny-2"]) == 2
    assert "runs/tiny-1 and runs/tiny-2 were not tested on the same data" in capsys.readouterr().err


def test_a_comparison_has_its_verdict(run, in_tmp, looked_at):
    folder = in_tmp / "runs/both"
    shutil.copytree(run, folder / "together-3")
    shutil.copytree(run, folder / "together-4")
    shutil.copy(run / "config.json", folder)
    _changed(folder, baseline={})
    one = {
        "task": "side", "metric": "accuracy", "higher_is_better": True, "together": [0.75, 0.5],
        "alone": [0.5, 0.5], "parameters": 10, "flops": None, "seconds": [1.0, 2.0],
        "difference": {"mean": 0.125, "low": 0.1, "high": 0.2, "p_value": 0.01, "examples": 20},
    }  # fmt: skip
    (folder / "baseline.json").write_text(json.dumps([one]))
    looked_at.update({f"together-{n}": full_run(f"together-{n}", seed=n) for n in (3, 4)})
    assert main(["report", "both"]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Does sharing help?" in page and "side: better together, its accuracy by 0.1250 (" in page
    assert "over 2 seeds" in page
    assert (folder / "report/changes.csv").read_text() == 'task,seed,"change, %"\nside,1,50.0\nside,2,0.0\n'


def test_a_check_that_there_is_not_is_told_before_anything_is_made(capsys):
    assert main(["report", "no-run", "--fail-on", "MTL03"]) == 2
    assert "Unknown check 'MTL03' in --fail-on. Did you mean 'MTL003'?" in capsys.readouterr().err
