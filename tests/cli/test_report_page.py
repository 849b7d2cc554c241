"""The page of a report, of runs made by hand: what is in it, and what a reader needs of it."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import io
import math
import re

import numpy as np
import pytest

from mtlkeras._app.report.evidence import TaskEvidence
from mtlkeras._app.report.html import page, render, style, write_page
from mtlkeras._app.report.html.markup import text
from mtlkeras._app.report.html.png import data_uri
from mtlkeras._app.report.html.sections.baseline import baseline
from mtlkeras._app.report.html.sections.compare import side_by_side
from mtlkeras._app.report.html.sections.errors import worst_errors
from mtlkeras._app.report.html.sections.training import results_table
from mtlkeras._app.report.html.sections.verdict import verdict, without_looking
from mtlkeras._app.runs.baseline import Compared
from mtlkeras.analysis import WorstErrors
from mtlkeras.analysis._pictures import readable_on
from tests.cli.made_runs import ANSWERS, EVIL, HISTORY, LABELS, METRICS, bare_run, full_run, search_run

VOID = {"meta", "img", "br", "link", "hr"}


class Tree(html.parser.HTMLParser):
    """The tags of a page with their attributes, and what is not closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of a full run: its file, and its tree."""
    pytest.importorskip("matplotlib")
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert write_page(path, f"Made {EVIL}", [full_run()]) == []
    return path, Tree(path.read_text(encoding="utf-8"))


def test_every_section_is_there_and_links_lead_to_it(whole):
    _, tree = whole
    names = [a["id"] for a in tree.all("section")]
    assert names == [
        *("verdict", "findings", "results", "curves", "weights", "cosines", "association", "classes"),
        *("reliability", "numbers", "masks", "worst_errors", "gates", "attention", "transitions", "size"),
        "settings",
    ]
    links = [a["href"] for a in tree.all("a")]
    assert [link for link in links if link.startswith("#")] == [f"#{name}" for name in names]
    ids = [a["id"] for _, a in tree.tags if "id" in a]
    assert len(set(ids)) == len(ids)
    assert tree.open == []


def test_the_page_needs_no_other_file_and_fits_a_phone(whole):
    path, tree = whole
    source = path.read_text(encoding="utf-8")
    assert "http:" not in source and "https:" not in source and "@import" not in source
    assert not tree.all("script") and not tree.all("link") and not tree.all("iframe")
    assert all(a["src"].startswith("data:image/png;base64,") for a in tree.all("img"))
    assert not re.search(r"url\((?!#)", source)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in tree.all("meta")
    assert "prefers-color-scheme:dark" in source and tree.all("html") == [{"lang": "en"}]
    assert len(source.encode()) < 3_000_000
    files = [a["href"] for a in tree.all("a") if not a["href"].startswith("#")]
    assert files and all((path.parent / name).is_file() for name in files)


def test_every_picture_has_a_title_axes_and_a_text(whole):
    path, tree = whole
    pictures = tree.all("svg")
    assert len(pictures) == 17
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in pictures)
    assert len(tree.all("desc")) == len(pictures) and len(tree.all("title")) == len(pictures) + 1
    assert all(a["alt"] for a in tree.all("img"))
    assert all(
        "aria-label" in a and a["tabindex"] == "0" for a in tree.all("div") if a.get("role") == "region"
    )
    for name, axes in {
        "curve-size-mae": ("epoch", "mae"),
        "reliability-script": ("confidence", "accuracy"),
    }.items():
        (file,) = path.parent.glob(f"report/{name}*.svg")
        assert all(f">{axis}</text>" in file.read_text() for axis in axes)
        assert 'role="img"' in file.read_text()


def test_names_of_users_are_texts_and_no_markup(whole):
    path, tree = whole
    said = "".join(tree.texts)
    assert "alert('a & b')" in said and "$5_x$ 猫" in said
    assert "<script>" not in path.read_text(encoding="utf-8").replace("&lt;script&gt;", "")
    for file in path.parent.glob("report/*.svg"):
        assert "<script>" not in file.read_text(encoding="utf-8")


def _rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_files_have_the_numbers_unrounded(whole):
    folder = whole[0].parent / "report"
    found = {
        (r["task"], r["metric"]): (float(r["valid"]), float(r["test"])) for r in _rows(folder / "results.csv")
    }
    assert found["size", "mae"] == (12.3456789, 12.3456789) and found[EVIL, "accuracy"] == (0.6, 0.6)
    weights = _rows(folder / "weights.csv")
    assert [float(r["size"]) for r in weights] == HISTORY["size_weight"]
    assert [float(r[f"{EVIL}, size"]) for r in _rows(folder / "gradient-cosines.csv")] == [0.1, -0.2, -0.3]
    assert [float(r["size"]) for r in _rows(folder / "gradient-shares.csv")] == [0.25, 0.375, 0.5]
    assert [(float(r["label"]), float(r["answer"])) for r in _rows(folder / "numbers-size.csv")] == [
        (1.0, 1.5), (2.0, 2.0), (4.0, 3.0),
    ]  # fmt: skip
    (classes,) = folder.glob("classes-*.csv")
    right = [(LABELS[LABELS == c] == ANSWERS[LABELS == c]).mean() for c in range(3)]
    assert [float(r["recall"]) for r in _rows(classes)] == pytest.approx(right)
    (chain,) = folder.glob("transitions-*.csv")
    assert [float(v) for r in _rows(chain) for v in list(r.values())[1:]] == [*range(-4, 5)]
    (gates,) = folder.glob("gates-*.csv")
    assert [float(v) for r in _rows(gates) for v in list(r.values())[1:]] == [0.25, 0.75, 0.5, 0.5]


def test_the_verdict_compares_with_answers_that_look_at_nothing(whole):
    said = "".join(whole[1].texts)
    run = full_run()
    assert without_looking(run.tasks[EVIL]) == (f"the most frequent class, {EVIL},", 0.5)
    assert without_looking(run.tasks["size"]) == ("the median, 2.0000,", 1.0)
    assert "always answering the median, 2.0000, gives 1.0000" in said
    assert "the best by val_loss is epoch 2" in said and "1 warning" in said and "Too bad" in said


def test_what_is_not_known_is_left_out(tmp_path):
    write_page(tmp_path / "bare.html", "Bare", [bare_run()])
    tree = Tree((tmp_path / "bare.html").read_text(encoding="utf-8"))
    assert [a["id"] for a in tree.all("section")] == ["verdict", "curves", "settings"]
    assert "The run is interrupted, not finished" in "".join(tree.texts)


def test_trials_of_a_search_are_shown(tmp_path):
    assert write_page(tmp_path / "s.html", "Search", [search_run()]) == []
    said = "".join(Tree((tmp_path / "s.html").read_text(encoding="utf-8")).texts)
    assert "Of 4 trials 3 were completed" in said and "alert(" in said and "--set width=8" in said
    assert [r["width"] for r in _rows(tmp_path / "s" / "trials.csv")] == ["4", "8", "6"]
    points = _rows(tmp_path / "s" / "regularisation.csv")
    assert [float(r["gap"]) for r in points] == pytest.approx([1.0, 0.5, 0.2])
    assert [float(r["score"]) for r in points] == [-2.0, -1.0, -1.1]
    gaps, values = np.array([1.0, 0.5, 0.2]), np.array([-2.0, -1.0, -1.1])
    assert f"size_mae {-np.polyfit(gaps, values, 1)[0]:+.2f}" in said


def test_without_matplotlib_the_numbers_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_has_matplotlib", lambda: False)
    assert write_page(tmp_path / "report.html", "Plain", [full_run()]) == []
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not tree.all("svg") and len(tree.all("table")) > 14 and tree.open == []


def test_a_picture_that_fails_is_told_and_the_rest_is_there(tmp_path, monkeypatch):
    def broken(picture):
        raise RuntimeError(f"no ink for {picture.title}")

    monkeypatch.setattr(render.svg, "standalone", broken)
    monkeypatch.setattr(page, "_has_matplotlib", lambda: True)
    told = write_page(tmp_path / "report.html", "Broken", [bare_run()])
    assert told == ["picture 'size: loss': RuntimeError: no ink for size: loss"] + [
        "picture 'all tasks: loss': RuntimeError: no ink for all tasks: loss"
    ]
    said = "".join(Tree((tmp_path / "report.html").read_text(encoding="utf-8")).texts)
    assert "What is missing here" in said and "no ink for size: loss" in said


def test_pictures_that_would_make_the_page_large_are_left_out(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(render, "MOST_BYTES", 10)
    write_page(tmp_path / "report.html", "Small", [bare_run()])
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not tree.all("svg") and "2 pictures are left out" in "".join(tree.texts)
    assert len(list((tmp_path / "report").glob("*.svg"))) == 2


def test_runs_side_by_side_tell_of_spread_only_where_seeds_differ():
    by_seed = side_by_side([full_run("a", seed=0), full_run("b", seed=1)])
    assert [section.title for section in by_seed] == [
        *("Side by side", "Results on the test split", "Learning curves of all runs", "Sizes and settings"),
    ]
    assert "0.6000 ± 0.0000 over 2 seeds" in by_seed[0].parts[0].html
    assert "mean ± deviation" in by_seed[1].parts[0].frame()
    same = side_by_side([full_run("a"), full_run("b")])
    assert "All runs have the seed 0, so nothing here tells of the spread" in same[0].parts[0].html
    assert "mean ± deviation" not in same[1].parts[0].frame()
    other = side_by_side([full_run("a"), full_run("b", batch_size=16, seed=1)])
    assert "The runs differ in batch size" in other[0].parts[0].html
    assert other[3].parts[1].frame() == {"what": ["batch size"], "a": ["8"], "b": ["16"]}


def test_several_runs_have_a_page_with_one_part_each(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_has_matplotlib", lambda: False)
    runs = [full_run("a"), full_run("b", seed=1)]
    write_page(tmp_path / "report.html", "Two", runs, side_by_side(runs))
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    ids = [a["id"] for _, a in tree.tags if "id" in a]
    assert len(set(ids)) == len(ids) and {"run-a", "run-b", "a-verdict", "b-verdict"} <= set(ids)
    assert (tmp_path / "report/a-results.csv").is_file() and (tmp_path / "report/b-results.csv").is_file()


def test_runs_whose_names_look_alike_have_anchors_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_has_matplotlib", lambda: False)
    runs = [full_run("a b"), full_run("a-b", seed=1)]
    write_page(tmp_path / "report.html", "Two", runs, side_by_side(runs))
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    ids = [a["id"] for _, a in tree.tags if "id" in a]
    assert len(set(ids)) == len(ids) and {"run-a-b", "run-a-b-2"} <= set(ids)


def test_results_that_are_gone_or_no_numbers_are_told():
    lost = dataclasses.replace(full_run(), metrics={})
    assert "the results, <code>metrics.json</code>, are no longer there" in verdict(lost).parts[0].html
    nan = dataclasses.replace(full_run(), metrics={"test": {"size_mae": math.nan}})
    assert "size: mae is no number on the test split, but nan." in verdict(nan).parts[0].html


def test_results_have_a_row_for_each_metric():
    assert results_table({"test": {"a_loss": 1.0, "a_b_loss": 2.0, "loss": 3.0}}, ["a", "a_b"]) == {
        "task": ["a", "a_b", "all tasks"], "metric": ["loss"] * 3, "test": [1.0, 2.0, 3.0],
    }  # fmt: skip
    assert set(results_table(METRICS, [EVIL, "size"])) == {"task", "metric", "valid", "test"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.5000"), (0.0123456, "0.0123"), (12.345678, "12.346"), (1e-5, "1.000e-05"), (3, "3"),
        (12345, "12,345"), (0.0, "0"), (float("inf"), "∞"),
        (float("nan"), ""), (None, ""), (True, "true"), (np.float32(0.25), "0.2500"), (-2.0, "-2.0000"),
    ],
)  # fmt: skip
def test_numbers_are_rounded_for_people(value, shown):
    assert text(value) == shown


def _luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag():
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("colours", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_texts_and_lines_can_be_seen(colours):
    for name in style.TEXTS:
        for ground in ("paper", "raised"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in style.BOXES:
        assert _contrast(colours["ink"], colours[name]) >= 4.5, name
    for name in (*style.SERIES, "faint"):
        assert _contrast(colours[name], colours["paper"]) >= 3, name
    assert set(style.LIGHT) == set(style.DARK)


def test_numbers_in_cells_can_be_read():
    for rgb in np.random.default_rng(0).random((200, 3)):
        colour = "#" + "".join(f"{round(255 * v):02x}" for v in rgb)
        rounded = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        ink = {"w": "#ffffff", "k": "#000000"}[readable_on(rounded)]
        assert _contrast(ink, colour) >= 4.5


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_what_they_were(channels):
    image = pytest.importorskip("matplotlib.image")
    import base64

    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), "uint8")
    data = base64.b64decode(data_uri(picture).partition(",")[2])
    read = np.round(image.imread(io.BytesIO(data)) * 255).astype("uint8")
    np.testing.assert_array_equal(read.reshape(5, 7, -1)[..., :channels], picture)
    assert len(data_uri(np.zeros((1000, 900, 3), "uint8"))) < 3000 and not math.isnan(len(data))


def test_an_answer_of_no_label_is_told():
    worst = WorstErrors("seen", np.array([7]), np.array([1.2]), (("rust", "miner"),), ((),), np.zeros((1, 4)))
    run = bare_run()
    tasks = {"seen": TaskEvidence("MultiLabel", "accuracy", True, worst=worst)}
    part, table = worst_errors(dataclasses.replace(run, tasks=tasks)).parts[1:]
    assert "labelled <strong>rust, miner</strong>, answered" in part.html
    assert '<strong class="bad">none</strong>' in part.html
    assert table.columns["answer"] == ["none"]


@pytest.mark.parametrize("flops", [None, 1200])
def test_what_models_cost_has_columns_for_what_is_counted(flops):
    one = Compared("size", "mae", False, [1.0, 2.0], [1.5, 2.5], None, 10, flops, [3.2, 5.9])
    cost = baseline([one]).parts[-1].columns
    assert cost["seconds of training"] == [5]
    assert cost.get("operations") == (None if flops is None else [flops])
