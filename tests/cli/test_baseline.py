"""`mtlkeras baseline`: all tasks together and each alone, resumed where it broke off."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mtlkeras._app.cli import baseline as command
from mtlkeras._app.cli import main
from mtlkeras._app.recipe import Recipe
from mtlkeras._app.report.baseline import baseline_table, verdict
from mtlkeras._app.runs import baseline
from mtlkeras._app.runs.folder import RunFolder, create_run
from mtlkeras.analysis import PairedDifference

pytestmark = pytest.mark.tensorflow

SAME = PairedDifference(0.0, -0.1, 0.1, 1.0, 20)


def test_a_comparison_that_breaks_off_goes_on_and_tells_what_helps(
    tiny, in_tmp, plain_pages, monkeypatch, capsys
):
    words = ["baseline", str(tiny), "--epochs", "1", "--quiet"]
    kept, trained = baseline.train, []

    def broken(job, say, run=None):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(list(job.model.heads))
        return kept(job, say, run)

    with monkeypatch.context() as patch:
        patch.setattr(baseline, "train", broken)
        assert main(words) == 130
    assert trained == [["side", "far"], ["side"]]
    told = capsys.readouterr().err
    assert "To go on with the comparison, write the same with --run-dir runs/tiny-baseline-1" in told
    folder = in_tmp / "runs/tiny-baseline-1"
    seconds = (folder / "together-3/config.json").stat().st_mtime_ns
    assert main([*words, "--run-dir", str(folder), "--metric", "far=loss"]) == 0
    assert (folder / "together-3/config.json").stat().st_mtime_ns == seconds, "it is not trained again"
    side, far = json.loads((folder / "baseline.json").read_text())
    assert (side["metric"], side["higher_is_better"], far["metric"]) == ("accuracy", True, "loss")
    logs = {n: json.loads((folder / n / "metrics.json").read_text()) for n in ("together-3", "side-alone-3")}
    together, alone = (found["test"]["side_accuracy"] for found in logs.values())
    assert (side["together"], side["alone"]) == ([together], [alone])
    with np.load(folder / "together-3/test_parts.npz") as parts:
        assert parts["side_accuracy"].mean() == pytest.approx(together, abs=1e-5)
        assert len(parts["far_loss"]) == 20
    assert side["difference"]["mean"] == pytest.approx(together - alone, abs=1e-5)
    assert far["difference"]["mean"] == pytest.approx(far["alone"][0] - far["together"][0], abs=1e-4)
    page = (folder / "baseline.md").read_text()
    assert "Δm of all tasks together" in page and "| side " in page
    assert "Worst off against its own model: " in page
    assert capsys.readouterr().out == f"{folder}\n"
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "tiny: tasks together and alone" in html and "Does sharing help?" in html
    assert 'id="classes"' in html and "What is missing here" not in html
    assert (folder / "report/changes.csv").is_file()
    for more, told in (
        (["--metric", "far=mea"], "Unknown metric 'mea' in --metric of task 'far'. Did you mean 'mae'?"),
        (["--metric", "fur=mae"], "Unknown task 'fur' in --metric. Did you mean 'far'?"),
        (["--set", "rate=0.5"], "began with settings={} and cannot go on with {'rate': '0.5'}"),
    ):
        assert main([*words, "--run-dir", str(folder), *more]) == 2
        assert told in capsys.readouterr().err
    assert main(["evaluate", str(folder)]) == 2
    assert "is a comparison of runs. Name one of them: far-alone-3, side-alone-3" in capsys.readouterr().err


def test_a_finished_run_is_taken_over(trained, in_tmp, capsys):
    shutil.copytree(trained, in_tmp / "runs/tiny-1")
    assert main(["baseline", "runs/tiny-1", "--quiet"]) == 0
    folder = in_tmp / "runs/tiny-baseline-1"
    copied = json.loads((folder / "together-3/config.json").read_text())
    alone = json.loads((folder / "far-alone-3/config.json").read_text())
    assert copied["started"] == json.loads((trained / "config.json").read_text())["started"]
    assert copied["settings"]["trunk/units"] == alone["settings"]["trunk/units"] == 4
    capsys.readouterr()
    assert main(["baseline", "runs/tiny-1", "--epochs", "3"]) == 2
    assert "has its own epochs: leave it out, or name a recipe" in capsys.readouterr().err


def test_a_failing_page_leaves_the_comparison_finished(tiny, in_tmp, plain_pages, monkeypatch, capsys):
    """All is there but the page: nothing is trained, and the results are told."""
    folder = RunFolder(in_tmp / "both")
    folder.path.mkdir()
    folder.write_config(recipe="tiny", status="running", baseline={})
    folder.write_text("report.html", "of before")
    one = baseline.Compared("side", "accuracy", True, [0.5], [0.5], SAME, 10, None, [1.0])
    monkeypatch.setattr(command, "metrics_of", lambda *args: {"side": None})
    monkeypatch.setattr(command, "baseline_folder", lambda *args: folder)
    for name, result in (("train_all", None), ("compare", [one]), ("flops_of", None)):
        monkeypatch.setattr(command, name, lambda *args, result=result: result)
    monkeypatch.setattr(command, "baseline_page", lambda *args: "# Page")
    create_run(Recipe(tiny), folder.file("together-3"))
    assert main(["baseline", str(tiny)]) == 0
    told = capsys.readouterr()
    assert "note: not in the report: what the page tells: FileNotFoundError: " in told.err
    assert f"results: {folder}/baseline.md" in told.out
    assert folder.config["status"] == "finished" and not folder.file("report.html").exists()


@pytest.mark.slow
def test_workers_train_what_one_process_does(tiny, in_tmp, capsys):
    words = ["baseline", str(tiny), "--epochs", "1", "--quiet"]
    assert main([*words, "--run-dir", "one"]) == 0
    assert main([*words, "--run-dir", "two", "--workers", "2"]) == 0
    one, two = (json.loads((in_tmp / name / "baseline.json").read_text()) for name in ("one", "two"))
    for left, right in zip(one, two, strict=True):
        assert left["together"] == pytest.approx(right["together"], abs=1e-6)
        assert left["alone"] == pytest.approx(right["alone"], abs=1e-6)
    capsys.readouterr()
    assert main([*words, "--run-dir", "three", "--workers", "2", "--set", "fail=1"]) == 2
    assert "Unknown setting 'fail'" in capsys.readouterr().err


def test_a_metric_that_is_nan_or_in_one_part_leaves_the_others_to_be_compared():
    parts = {
        "a_auc": np.array([0.5, 1.0, np.nan]),
        "b_auc": np.full(3, np.nan),
        "c_auc": np.array([0.5, np.nan, 0]),
    }
    other = {
        "a_auc": np.array([0.25, 0.5, np.nan]),
        "b_auc": np.zeros(3),
        "c_auc": np.array([np.nan, 1, 0.5]),
    }
    found = [baseline._difference([parts], [other], f"{task}_auc", True) for task in "abcd"]
    assert found[0].mean == pytest.approx(0.375) and found[1:] == [None, None, None]
    assert baseline._difference([parts], [other], "a_auc", False).mean == pytest.approx(-0.375)


def test_a_score_of_zero_alone_has_no_relative_change_and_the_verdict_says_the_rest():
    found = PairedDifference(0.5, 0.4, 0.6, 0.001, 20)

    def of(task, together, alone):
        return baseline.Compared(task, "f1", True, [together], [alone], found, 10, None, [1.0])

    some = [of("tags", 0.5, 0.0), of("kind", 0.6, 0.5), of("lost", 0.5, float("nan"))]
    first, *others = verdict(some)
    assert first.startswith("Δm of kind together: +20.00 % (one seed); of 3 tasks 3 better together and 0 ")
    assert others[-1] == "Worst off against its own model: kind, +20.00 %." and len(others) == 4
    assert [row[4] for row in baseline_table(some)[1]] == ["", "+20.00", ""]
    assert (
        verdict(some[:1])[0]
        == "Of 1 tasks 1 better together and 0 better alone, as far as the test split can tell."
    )
