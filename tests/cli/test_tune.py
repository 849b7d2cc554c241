"""`mtlkeras tune`: what a search leaves, how it goes on, and what is said when something is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mtlkeras
from mtlkeras._app.cli import main
from mtlkeras._app.cli.tune import Lines, live_table
from mtlkeras._app.report.search import best_so_far, mean_ranks, pareto_front
from mtlkeras._app.runs.search_folder import TrialRow

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
]


def tune(*words: object) -> int:
    return main(["tune", *map(str, words)])


def lines_of(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def error_of(capsys, *words: object) -> str:
    assert tune(*words) == 2
    return capsys.readouterr().err.split("mtlkeras: error: ")[1]


def table(folder: Path) -> list[dict]:
    return list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))


def test_a_search_leaves_the_best_model_a_table_a_report_and_a_command(tiny, in_tmp, pictures, capsys):
    assert tune(tiny, "--tuner", "grid", "--set", "rate=0.05", "--epochs", 1) == 0
    said = lines_of(capsys)
    folder = Path("runs/tiny-search-1")
    rows = table(folder)
    assert [row["trunk/units"] for row in rows] == ["8", "4"]  # The default first.
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert {row["rate"] for row in rows} == {"0.05"}
    assert sum(line.startswith("trial ") and "best so far: side_accuracy" in line for line in said) == 2
    config = json.loads((folder / "config.json").read_text())
    assert config["status"] == "finished"
    best = max(rows, key=lambda row: float(row["score"]))
    assert config["best_trial"] == best["trial"]
    results = json.loads((folder / "metrics.json").read_text())
    assert results["valid"]["side_accuracy"] == pytest.approx(float(best["val_side_accuracy"]))
    assert mtlkeras.load_model(folder / "model.keras").count_params() == float(best["parameters"])
    for name in ("values.png", "fronts.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.md").read_text()
    assert config["command"] in page
    assert "![Weights against each task's metric](fronts.png)" in page
    assert list(folder.glob("tensorboard/*/execution0"))
    # The command trains the very model of the best trial.
    assert main([*shlex.split(config["command"])[1:], "--no-export"]) == 0
    again = json.loads(Path("runs/tiny-1/metrics.json").read_text())
    assert again == results
    assert main(["evaluate", str(folder)]) == 0


@pytest.mark.slow
def test_a_finished_search_goes_on_with_more_trials_and_keeps_the_others(tiny, in_tmp, capsys):
    words = (tiny, "--tuner", "random", "--epochs", 1)
    assert tune(*words, "--trials", 2) == 0
    before = table(Path("runs/tiny-search-1"))
    capsys.readouterr()
    assert tune(tiny, "--resume", "--trials", 3) == 0
    after = table(Path("runs/tiny-search-1"))
    assert after[:2] == before
    assert len(after) == 3
    said = "\n".join(lines_of(capsys))
    assert "random search" in said
    assert "going on with runs/tiny-search-1" in said
    message = error_of(capsys, tiny, "--resume", "--objective", "val_far_mae")
    assert message.startswith(
        "runs/tiny-search-1 was begun with another objective: val_side_accuracy then, val_far_mae now."
    )
    assert "start a new search without --resume" in message
    assert "another number of epochs: 1 then, 2 now" in error_of(capsys, tiny, "--resume", "--epochs", 2)


def test_a_changed_recipe_is_another_search(tiny, in_tmp, capsys):
    recipe = in_tmp / "mine.py"
    recipe.write_text(tiny.read_text())
    assert tune(recipe, "--tuner", "random", "--epochs", 1, "--trials", 1) == 0
    recipe.write_text(tiny.read_text().replace("depth=1", "depth=2"))
    message = error_of(capsys, recipe, "--resume")
    assert "was begun with another recipe file. Its trials" in message
    assert "its recipe is in runs/mine-search-1/recipe.py" in message


def test_trials_over_a_limit_are_listed_and_not_trained(tiny, in_tmp, plain_pages, capsys):
    words = ("--tuner", "grid", "--trials", 9, "--set", "rate=0.05", "--epochs", 1, "--max-parameters", 60)
    assert tune(tiny, *words) == 0
    rows = table(Path("runs/tiny-search-1"))
    assert [(row["trunk/units"], row["status"]) for row in rows] == [("8", "FAILED"), ("4", "COMPLETED")]
    reason = "69 weights are over the limit of 60"
    assert rows[0]["failure"] == reason
    said = lines_of(capsys)
    assert f"trial 0 failed: {reason} (trunk/units=8, rate=0.05)" in said
    assert f"- trial 0: {reason}" in Path("runs/tiny-search-1/report.md").read_text()
    assert said[-1].startswith("results: runs/tiny-search-1/report.html and report.md (")
    page = Path("runs/tiny-search-1/report.html").read_text(encoding="utf-8")
    assert "tiny: tiny-search-1" in page and reason in page and "What is missing here" not in page
    assert 'id="trials"' in page and 'id="classes"' in page


def test_a_search_whose_trials_all_failed_is_an_error_with_the_first_cause(tiny, in_tmp, capsys):
    message = error_of(capsys, tiny, "--tuner", "random", "--trials", 4, "--max-parameters", 5)
    assert message.startswith("All 4 trials failed. The first, trial 0: 69 weights are over the limit of 5.")
    assert "The search is in runs/tiny-search-1; --resume goes on with it." in message
    config = json.loads(Path("runs/tiny-search-1/config.json").read_text())
    assert config["status"] == "failed"


@pytest.mark.slow
def test_a_search_by_one_score_for_all_tasks(tiny, in_tmp, capsys):
    words = ("--tuner", "random", "--trials", 2, "--epochs", 1)
    references = ("--reference", "side=0.5", "--reference", "far=10")
    assert tune(tiny, *words, "--objective", "delta", *references) == 0
    for row in table(Path("runs/tiny-search-1")):
        change = (float(row["val_side_accuracy"]) - 0.5) / 0.5 - (float(row["val_far_mae"]) - 10) / 10
        assert float(row["score"]) == pytest.approx(change / 2)
    # The first search's best model as the reference: the same trial scores zero against it.
    search = "runs/tiny-search-1"
    assert tune(tiny, *words, "--objective", "delta", "--reference", search, "--run-dir", "second") == 0
    best = json.loads(Path(search, "config.json").read_text())["best_trial"]
    scores = {row["trial"]: float(row["score"]) for row in table(Path("second"))}
    assert scores[best] == pytest.approx(0, abs=1e-6)
    assert tune(tiny, "--resume", "--run-dir", "second", "--trials", 2) == 0


BAD = {
    "Unknown objective": (["--objective", "val_side_acuracy"], "Unknown metric 'val_side_acuracy'"),
    "Unknown tuner": (["--tuner", "baysian"], "Unknown tuner 'baysian' in --tuner. Did you mean 'bayesian'"),
    "Unknown setting": (["--set", "unit=4"], "Unknown setting 'unit' in --set."),
    "Nothing left": (["--set", "rate=0.1", "--set", "trunk/units=4"], "There is nothing to search"),
    "Reference without use": (["--reference", "side=1"], "--reference goes with --objective delta or rank"),
    "No reference": (["--objective", "delta"], "by 'delta' needs reference"),
    "No run": (["--objective", "delta", "--reference", "runs/none"], "No run 'runs/none'"),
    "No data": (["--data-dir", "nowhere"], "--data-dir nowhere is not a folder"),
    "Nothing to resume": (["--resume"], "No search of recipe 'tiny' in runs/ to go on with"),
    "Nothing in the folder": (["--resume", "--run-dir", "x"], "x holds no search to go on with"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told_before_anything_is_written(case, tiny, in_tmp, capsys):
    words, message = BAD[case]
    assert message in error_of(capsys, tiny, *words)
    assert list(in_tmp.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_touched(tiny, in_tmp, capsys):
    (in_tmp / "mine").mkdir()
    (in_tmp / "mine" / "file").touch()
    message = error_of(capsys, tiny, "--run-dir", "mine")
    assert message.startswith("mine is not an empty folder. Go on with the search in it by --resume")
    assert [path.name for path in (in_tmp / "mine").iterdir()] == ["file"]


def test_a_worker_whose_chief_does_not_answer_says_so(tiny, in_tmp, capsys, monkeypatch):
    for name, value in {"TUNER_ID": "tuner0", "ORACLE_IP": "127.0.0.1", "ORACLE_PORT": "9"}.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    message = error_of(capsys, tiny, "--chief-timeout", "0.1")
    assert message.startswith("No chief answers at 127.0.0.1:9; waited 0.1 s. Start it with")
    monkeypatch.delenv("KERASTUNER_TUNER_ID")
    assert "KERASTUNER_TUNER_ID is not: a chief and its workers need all" in error_of(capsys, tiny)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner0")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "x")
    assert "KERASTUNER_ORACLE_PORT must be a number; received 'x'" in error_of(capsys, tiny)


@pytest.mark.parametrize("words", [["--max-minutes", "0"], ["--weight", "side=x"], ["--trials", "0"]])
def test_numbers_are_checked(words, tiny, in_tmp):
    with pytest.raises(SystemExit):
        tune(tiny, *words)


def row(number, status="COMPLETED", **metrics):
    return TrialRow(str(number), status, {"depth": 8}, metrics.get("val_a"), metrics)


METRICS = {"val_a": "max", "val_b": "min"}


def test_pareto_front_is_what_nothing_beats_in_both():
    costs, gains = [1, 2, 2, 3, 4, 4], [0.5, 0.4, 0.7, 0.7, 0.9, 0.8]
    front = pareto_front(costs, gains)
    beaten = [
        any(
            (costs[j] <= costs[i] and gains[j] > gains[i]) or (costs[j] < costs[i] and gains[j] >= gains[i])
            for j in range(6)
        )
        for i in range(6)
    ]
    assert sorted(front) == [i for i in range(6) if not beaten[i]] == [0, 2, 4]


def test_ranks_and_the_best_so_far_follow_the_directions():
    trials = [row(0, val_a=0.5, val_b=1.0), row(1, val_a=0.9, val_b=3.0), row(2, val_a=0.5, val_b=2.0)]
    assert mean_ranks(trials, METRICS) == {"0": (2.5 + 1) / 2, "1": (1 + 3) / 2, "2": (2.5 + 2) / 2}
    assert best_so_far([*trials, row(3, "FAILED")], METRICS) == {"val_a": 0.9, "val_b": 1.0}


def test_live_table_shows_trials_that_run_failed_and_are_done():
    from rich.console import Console

    done = row(0, val_a=0.5, val_b=1.0, parameters=1234, seconds=3)
    failed = TrialRow("1", "FAILED", {"depth": 9}, failure="too large")
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(live_table([done, failed, row(2, "RUNNING")], {"task_metrics": METRICS}))
    text = console.export_text()
    assert re.search(r"0\s+depth=8\s+0\.5000\s+1\.0\s+0\.5000\s+1\.0000\s+1,234\s+3", text)
    assert "failed: too large" in text
    assert "running" in text
    assert "best so far: a 0.5000, b 1.0000" in text


def test_lines_tell_each_trial_once(capsys):
    lines = Lines({"task_metrics": METRICS})
    done = row(0, val_a=0.5, val_b=1.0, parameters=1234, seconds=3)
    for trials in ([row(0, "RUNNING")], [done], [done, row(1, "RUNNING")]):
        lines.update(trials)
    assert lines_of(capsys) == [
        "trial 0: 0.5000 (depth=8; 1,234 weights, 3 s) best so far: a 0.5000, b 1.0000"
    ]


COUNTING = """

class Count(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        with open("trained", "a") as file:
            file.write(f"{float(self.model.optimizer.learning_rate)} {self.model.count_params()}\\n")


def callbacks():
    return [Count()]
"""


def start(*words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "mtlkeras", "tune", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(mtlkeras.__file__).parent.parent)}
    with open("said", "wb") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=said)


def ended(process: subprocess.Popen) -> str:
    """Waits for a process to end well; returns what it said."""
    code = process.wait(timeout=240)
    said = Path("said").read_text()
    assert code == 0, said
    return said


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, Path("said").read_text()
        time.sleep(0.05)


def statuses(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["status"] for path in sorted(folder.glob("trials/*/trial.json"))]


@pytest.fixture
def counting(tiny, in_tmp) -> Path:
    path = in_tmp / "counting.py"
    path.write_text(tiny.read_text() + COUNTING)
    return path


@pytest.mark.slow
def test_killed_three_times_a_search_of_8_trials_ends_with_8_and_trains_none_twice(counting, in_tmp):
    words = (counting, "--tuner", "random", "--trials", 8, "--run-dir", "search")
    moments = random.Random(5)
    folder = Path("search")
    for kill in range(3):
        process = start(*words, *(["--resume"] if kill else []))
        before = len(statuses(folder))
        wait_for(lambda before=before: len(statuses(folder)) > before or before == 8, process)
        time.sleep(moments.uniform(0, 3))
        process.kill()
        process.wait()
    ended(start(*words, "--resume"))
    rows = table(folder)
    assert [r["trial"] for r in rows] == list("01234567")
    assert {r["status"] for r in rows} == {"COMPLETED"}
    trained = Path("trained").read_text().splitlines()
    assert len(trained) == len(set(trained)) == 8


@pytest.mark.slow
def test_two_workers_share_the_trials_and_one_that_dies_is_replaced(counting, in_tmp):
    process = start(counting, "--tuner", "random", "--trials", 8, "--workers", 2, "--run-dir", "search")
    folder = Path("search")
    wait_for(lambda: len(list(folder.glob("trials/*/outcome.json"))) >= 2, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    out = ended(process)
    assert re.search(r"worker tuner\d was killed by SIGKILL; it is started again and takes up its trial", out)
    rows = json.loads((folder / "trials.json").read_text())
    assert [r["status"] for r in rows] == ["COMPLETED"] * 8
    assert {r["tuner"] for r in rows} == {"tuner0", "tuner1"}
    assert len(set(Path("trained").read_text().splitlines())) == 8


@pytest.mark.slow
def test_workers_end_when_their_chief_is_killed_and_the_search_goes_on(counting, in_tmp):
    words = (counting, "--tuner", "random", "--trials", 6, "--run-dir", "search")
    process = start(*words, "--workers", 2, "--chief-timeout", 1)
    folder = Path("search")
    wait_for(lambda: len(list(folder.glob("trials/*/outcome.json"))) >= 3, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert any("no longer answers" in log.read_text() for log in folder.glob("workers/*.log"))
    ended(start(*words, "--resume"))
    assert statuses(folder) == ["COMPLETED"] * 6
    assert len(set(Path("trained").read_text().splitlines())) == 6
