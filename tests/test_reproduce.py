"""The papers' tables again: what is run for each line, what the paper prints beside it, and what came out."""

import csv
import json
import re
import shutil
import tomllib
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import small_world
from sklearn.metrics import f1_score
from small_world import complaint

from minimeta.__main__ import main
from minimeta.files import data_directory
from minimeta.show import tableplots
from minimeta.studies import comparisons, grids, intervals, papers, recipes, report, reproduce, study
from minimeta.studies.intervals import paired_difference
from minimeta.studies.methods import KINDS, METHODS, Cell, small_rates
from minimeta.studies.world import World
from minimeta.text import corpora
from minimeta.text.languages import PHYLOGENY, XNLI
from minimeta.text.metrics import METRICS


def shorten(patch):
    for kind, numbers in recipes.SCALES["toy"].items():
        patch.setitem(recipes.SCALES["toy"], kind, replace(numbers, outer_steps=2, outer_rate=0.01))


@pytest.fixture(autouse=True)
def two_outer_steps(monkeypatch):
    shorten(monkeypatch)
    monkeypatch.delenv("MINIMETA_SCALE", raising=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    data = small_world.write_xnli(tmp_path_factory.mktemp("xnli"))
    encoder = small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "xlm-r", "xlm-roberta")
    return World("toy", str(data), str(encoder))


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    data = small_world.write_mlqa(tmp_path_factory.mktemp("mlqa"))
    encoder = small_world.write_encoder(tmp_path_factory.mktemp("encoder") / "bert", "bert", spans=True)
    return World("toy", str(data), str(encoder), "qa")


def train(name, world, folder, targets, seeds, method=None):
    """The runs of a table for the task of a world, or those of one method alone."""
    runs = reproduce.grid(name, targets, seeds)[world.task]
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        study.run([run for run in runs if method in (None, run.cell.method)], folder, world)
    return folder


@pytest.fixture(scope="module")
def table_5(world, tmp_path_factory):
    """The folder of XLA-MAML's Table 5 with two targets and two seeds."""
    return train("xla-table5", world, tmp_path_factory.mktemp("table-5") / "here", ["es", "zh"], [0, 1])


@pytest.fixture(scope="module")
def table_4(questions, tmp_path_factory):
    """The folder of XLA-MAML's Table 4, which is of questions, with three targets."""
    return train("xla-table4", questions, tmp_path_factory.mktemp("table-4") / "here", ["es", "hi", "zh"], [0])


def options(world):
    return ["--data", world.data, "--encoder", world.encoder]


def names(name, targets, task="nli"):
    runs = reproduce.grid(name, targets, [0])[task]
    return {run.name.removesuffix("-seed-0"): (run.targets, run.kinds) for run in runs}


# What is run


def test_the_outer_steps_of_a_table_are_those_of_its_trainings():
    runs = reproduce.grid("xla-table4", papers.table("xla-table4").targets, range(3))["qa"]
    steps = reproduce.outer_steps("xla-table4", 3)
    assert len(steps) == sum(METHODS[run.cell.method].trains for run in runs) < len(runs) and set(steps) == {100}


def test_treemaml_leaves_each_target_out_and_has_all_controls():
    runs = reproduce.grid("treemaml-table1", ["de", "zh"], [0, 1])["nli"]
    methods = {"joint", "maml", "fixed-treemaml", "learned-treemaml", "random-tree", "everyone"}
    for seed in (0, 1):
        for target in ("de", "zh"):
            mine = [run for run in runs if run.seed == seed and run.targets == (target,)]
            assert {run.cell.method for run in mine} == methods and len(mine) == len(methods)
            assert all(set(run.cell.auxiliaries) == set(PHYLOGENY.leaves) - {target} for run in mine)
        (baseline,) = [run for run in runs if run.seed == seed and run.cell.method == "baseline"]
        assert baseline.targets == ("de", "zh")
    assert {(run.cell.by_genre, run.kinds) for run in runs} == {(True, ("few-shot",))}


ZERO, TUNED = ("zero-shot",), ("fine-tuned",)


def test_table_3_is_covering_and_parallel_where_it_is_xla_maml():
    both = ZERO + TUNED
    assert names("xla-table3", ["es", "bg", "hi", "sw", "en"]) == {
        "baseline-none-languages": (("en", "es", "bg", "hi", "sw"), both),
        "x-maml-hi-languages": (("en", "es", "bg", "sw"), ZERO),
        "xla-maml-hi-languages-covering-parallel": (("es", "bg", "sw"), ZERO),
        "joint-hi-languages": (("en", "es", "bg", "sw"), ZERO),
        "x-maml-bg+de-languages": (("en", "es", "hi", "sw"), both),
        "xla-maml-pair-bg+de-languages-covering-parallel": (("en", "es", "hi", "sw"), ZERO),
        "joint-bg+de-languages": (("en", "es", "hi", "sw"), both),
        "x-maml-sw-languages": (("en", "es", "bg", "hi"), TUNED),
        "joint-sw-languages": (("en", "es", "bg", "hi"), TUNED),
    } | {
        f"xla-maml-few-shot-{given}-languages-to-{code}-covering-parallel": ((code,), TUNED)
        for given, codes in (("sw", ("en", "es", "bg", "hi")), ("bg+de", ("en", "es", "hi", "sw")))
        for code in codes
    }


def test_table_4_is_of_questions_and_not_parallel():
    both = ZERO + TUNED
    assert list(reproduce.grid("xla-table4", ["de"], [0])) == ["qa"]
    assert names("xla-table4", ["de", "hi", "zh"], "qa") == {
        "baseline-none-languages": (("de", "zh", "hi"), both),
        "x-maml-hi-languages": (("de", "zh"), ZERO),
        "xla-maml-hi-languages-covering": (("de", "zh"), ZERO),
        "joint-hi-languages": (("de", "zh"), both),
        "xla-maml-few-shot-hi-languages-to-de-covering": (("de",), TUNED),
        "xla-maml-few-shot-hi-languages-to-zh-covering": (("zh",), TUNED),
    }


def test_tables_6_and_7_change_one_thing():
    nli = {
        "baseline-none-languages": (("de", "zh"), ZERO),
        "joint-hi-languages": (("de", "zh"), ZERO),
        "xla-maml-hi-languages-covering-parallel": (("de", "zh"), ZERO),
        "joint-bg+de-languages": (("zh",), ZERO),
        "xla-maml-pair-bg+de-languages-covering-parallel": (("zh",), ZERO),
    }
    assert names("xla-table6", ["de", "zh"]) == nli | {
        "xla-maml-hi-languages-parallel": (("de", "zh"), ZERO),
        "xla-maml-pair-bg+de-languages-parallel": (("zh",), ZERO),
    }
    assert names("xla-table7", ["de", "zh"]) == nli | {
        "xla-maml-hi-languages-covering": (("de", "zh"), ZERO),
        "xla-maml-pair-bg+de-languages-covering": (("zh",), ZERO),
    }
    assert names("xla-table6", ["de", "ar"], "qa") == {
        "baseline-none-languages": (("de", "ar"), ZERO),
        "joint-hi-languages": (("de", "ar"), ZERO),
        "xla-maml-hi-languages": (("de", "ar"), ZERO),
        "xla-maml-hi-languages-covering": (("de", "ar"), ZERO),
        "joint-ar+hi-languages": (("de",), ZERO),
        "xla-maml-pair-ar+hi-languages": (("de",), ZERO),
        "xla-maml-pair-ar+hi-languages-covering": (("de",), ZERO),
    }


def test_figure_2_has_every_auxiliary_but_none_on_itself():
    runs = reproduce.grid("xla-figure2", ["en", "de", "hi"], [0])["nli"]
    ours = {run.cell.auxiliaries: run for run in runs if run.cell.method in ("x-maml", "xla-maml")}
    assert set(ours) == {(code,) for code in XNLI}
    for (code,), run in ours.items():
        x_maml = code == "en"
        assert run.cell == Cell("x-maml" if x_maml else "xla-maml", (code,), False, None, True, not x_maml)
        assert set(run.targets) == {"de", "hi"} - {code}
    joint = {run.cell.auxiliaries: set(run.targets) for run in runs if run.cell.method == "joint"}
    assert joint == {(code,): {"en", "de", "hi"} - {code} for code in XNLI}


def test_two_tasks_are_two_studies(tmp_path):
    assert reproduce.folders("xla-table6", tmp_path) == {"nli": tmp_path / "nli", "qa": tmp_path / "qa"}
    assert reproduce.folders("xla-table4", tmp_path) == {"qa": tmp_path}


def test_each_effect_has_its_baseline_and_joint_beside_it():
    for name in papers.tables():
        rows = papers.table(name).rows
        for row in rows:
            if row.method in (None, "baseline"):
                continue
            same = [other for other in rows if (other.task, other.kind) == (row.task, row.kind)]
            assert any(other.method == "baseline" for other in same)
            assert any(other.method == "joint" and other.auxiliaries == row.auxiliaries for other in same), row


# What the papers print


FILES = {
    "treemaml-table1": "treemaml_table1",
    "xla-table3": "xla_maml_table3_xnli",
    "xla-table4": "xla_maml_table4_mlqa_f1_em",
    "xla-table5": "xla_maml_table5_xlmr",
    "xla-table6": "xla_maml_table6_sampling",
    "xla-table7": "xla_maml_table7_parallel",
    "xla-figure2": None,  # a picture
}
NO_TARGETS = {"setting", "auxiliary_languages", "method", "avg", "model", "auxiliary", "avg15", "task", "sampling"}
NO_TARGETS.add("parallel")


def lines_of(file):
    with open(data_directory() / "results" / f"paper_{file}.csv", encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_every_figure_of_a_table_is_shown_once():
    """The figures of a table's lines are those of the whole file, in whichever language; Table 6 prints F1 alone."""
    assert papers.tables() == ["treemaml-table1", *(f"xla-table{n}" for n in (3, 4, 5, 6, 7)), "xla-figure2"]
    for name, file in FILES.items():
        printed = [
            (code, float(value))
            for line in (lines_of(file) if file else ())
            for code in line.keys() - NO_TARGETS
            for value in line[code].split("/")
            if value not in ("-", "")
        ]
        rows = papers.table(name).rows
        known = {row.task: [metric.name for metric in METRICS[row.task]] for row in rows}
        shown = [item for row in rows for metric in known[row.task] for item in row.printed(metric).items()]
        assert sorted(shown) == sorted(printed), name
        assert {code for code, _ in shown} <= set(papers.table(name).targets)


def test_a_line_prints_nothing_of_a_metric_that_is_not_the_papers():
    for name in papers.tables():
        for row in papers.table(name).rows:
            (others,) = {"nli", "qa"} - {row.task}
            for metric in ("mean_f1", *(metric.name for metric in METRICS[others])):
                assert row.printed(metric) == {}


def test_the_papers_files_say_nothing_that_nobody_reads():
    """Every method, language, test, task, metric, setting and remark that they name is one."""
    remarks = set()
    for path in sorted((data_directory() / "papers").glob("*.toml")):
        paper = tomllib.loads(path.read_text("utf-8"))
        assert paper.keys() <= {"metrics", "settings", "remarks", "tables"}
        assert paper["settings"].keys() <= {field.name for field in fields(recipes.Settings)}
        for task, metrics in paper["metrics"].items():
            assert set(metrics) <= {metric.name for metric in METRICS[task]}
        named = {said for table in paper["tables"].values() for said in table["remarks"]}
        assert set(paper.get("remarks", ())) <= named
        remarks |= set(paper.get("remarks", ()))
        for name in paper["tables"]:
            known = papers.table(name)
            assert not remarks & set(known.remarks) and "{" not in "".join(known.remarks)
            assert known.targets == tuple(code for code in XNLI if code in known.targets)
            for row in known.rows:
                assert {row.method} <= {*METHODS, None} and row.kind in KINDS and row.task in METRICS
                assert set(row.auxiliaries) <= set(XNLI) or row.auxiliaries == papers.REST
                assert set(row.drawn.split()) <= {"covering", "parallel"}
                assert row.against in ("", *(other.label for other in known.rows))


@pytest.mark.parametrize(
    ("name", "label", "kind", "task", "target", "value"),
    [
        ("treemaml-table1", "Baseline, two languages", "few-shot", "nli", "fr", 75.39),
        ("treemaml-table1", "XMAML, two languages", "few-shot", "nli", "fr", 75.97),
        ("treemaml-table1", "Baseline", "few-shot", "nli", "fr", 76.22),
        ("treemaml-table1", "MAML", "few-shot", "nli", "fr", 78.22),
        ("treemaml-table1", "Fixed TreeMAML", "few-shot", "nli", "fr", 79.78),
        ("treemaml-table1", "Learned TreeMAML", "few-shot", "nli", "fr", 77.33),
        ("xla-table3", "Baseline", "zero-shot", "nli", "de", 70.82),
        ("xla-table3", "X-MAML hi", "zero-shot", "nli", "de", 73.39),
        ("xla-table3", "XLA-MAML hi", "zero-shot", "nli", "de", 74.23),
        ("xla-table3", "X-MAML best pair (bg+de)", "zero-shot", "nli", "zh", 72.91),
        ("xla-table3", "XLA-MAML same pair (bg+de)", "zero-shot", "nli", "zh", 73.65),
        ("xla-table3", "XLA-MAML best pair (bg+de)", "zero-shot", "nli", "zh", 74.01),
        ("xla-table3", "Baseline", "fine-tuned", "nli", "de", 73.79),
        ("xla-table3", "X-MAML sw", "fine-tuned", "nli", "de", 73.93),
        ("xla-table3", "XLA-MAML sw", "fine-tuned", "nli", "de", 73.47),
        ("xla-table3", "X-MAML best pair (bg+de)", "fine-tuned", "nli", "zh", 73.43),
        ("xla-table3", "XLA-MAML same pair (bg+de)", "fine-tuned", "nli", "zh", 74.11),
        ("xla-table3", "translated, Devlin et al. (2019) test", "fine-tuned", "nli", "ur", 62.1),
        ("xla-table4", "Baseline", "zero-shot", "qa", "vi", 55.64),
        ("xla-table4", "X-MAML hi", "zero-shot", "qa", "vi", 59.68),
        ("xla-table4", "XLA-MAML hi", "zero-shot", "qa", "vi", 62.28),
        ("xla-table4", "Baseline", "fine-tuned", "qa", "vi", 62.47),
        ("xla-table4", "XLA-MAML hi", "fine-tuned", "qa", "vi", 64.29),
        ("xla-table5", "Baseline", "zero-shot", "nli", "sw", 65.53),
        ("xla-table5", "XLA-MAML hi", "zero-shot", "nli", "sw", 67.15),
        ("xla-table5", "X-MAML hi", "zero-shot", "nli", "sw", 65.07),
        ("xla-table5", "XLA-MAML bg+de", "zero-shot", "nli", "sw", 66.23),
        ("xla-table6", "XLA-MAML hi, random", "zero-shot", "nli", "zh", 72.91),
        ("xla-table6", "XLA-MAML hi, covering", "zero-shot", "nli", "zh", 73.43),
        ("xla-table6", "XLA-MAML bg+de, random", "zero-shot", "nli", "zh", 72.28),
        ("xla-table6", "XLA-MAML bg+de, covering", "zero-shot", "nli", "zh", 72.51),
        ("xla-table6", "XLA-MAML hi, random", "zero-shot", "qa", "zh", 62.69),
        ("xla-table6", "XLA-MAML hi, covering", "zero-shot", "qa", "zh", 62.82),
        ("xla-table6", "XLA-MAML ar+hi, random", "zero-shot", "qa", "zh", 63.57),
        ("xla-table6", "XLA-MAML ar+hi, covering", "zero-shot", "qa", "zh", 63.72),
        ("xla-table7", "XLA-MAML hi, not parallel", "zero-shot", "nli", "zh", 72.08),
        ("xla-table7", "XLA-MAML hi, parallel", "zero-shot", "nli", "zh", 73.43),
        ("xla-table7", "XLA-MAML bg+de, not parallel", "zero-shot", "nli", "zh", 73.21),
        ("xla-table7", "XLA-MAML bg+de, parallel", "zero-shot", "nli", "zh", 72.51),
    ],
)
def test_each_line_has_its_own_figures(name, label, kind, task, target, value):
    found = [row for row in papers.table(name).rows if (row.label, row.kind, row.task) == (label, kind, task)]
    assert [row.printed(METRICS[task][0].name)[target] for row in found] == [value]


def test_settings_of_full_scale_are_those_that_the_papers_state():
    def values(name):
        return {
            task: {each.title.split(" (")[0]: each.full for each in found if each.source}
            for task, found in papers.settings(name, "toy")
        }

    tree = values("treemaml-table1")["nli"]
    assert (tree["what is adapted"], tree["inner steps K"], tree["support rows of a task"]) == ("head", "4", "3")
    xla = values("xla-table6")
    for task, steps, longest in (("nli", "500", "128"), ("qa", "100", "384")):
        assert xla[task] == {
            "what is adapted": "all",
            "support rows of a task": "8",
            "query rows of a task": "8",
            "inner rate α": "1e-05",
            "outer rate β": "1e-05",
            "weight decay": "0.01",
            "linear schedule": "yes",
            "outer steps": steps,
            "longest input, in tokens": longest,
            "first order": "no",
        }


def test_what_the_papers_leave_open_is_listed_as_our_choice():
    for name, expected in (
        ("treemaml-table1", {"inner rate α", "outer steps", "outer rate β", "query rows of a task"}),
        ("xla-table3", {"inner steps K", "rate of fine-tuning on the target"}),
    ):
        ((_, found),) = papers.settings(name, "toy")
        ours = {each.title.split(" (")[0]: each for each in found if not each.source}
        assert expected <= set(ours)
        said = "\n".join(report.settings_text(name, "toy"))
        for each in ours.values():
            assert re.search(rf"{re.escape(each.title)} +{each.full} +{each.here} +not stated, our choice", said)
    assert "rate of fine-tuning" not in "\n".join(report.settings_text("xla-table7", "toy"))


def test_methods_with_settings_of_their_own_are_named():
    ((_, found),) = papers.settings("treemaml-table1", "small")
    (rate,) = [each.here for each in found if each.title.startswith("inner rate")]
    own = {name: f"{small_rates(name)[0]:g}" for name in ("maml", "learned-treemaml", "everyone")}
    assert rate.startswith(own["maml"] + " (")
    assert f"{own['learned-treemaml']}: Learned TreeMAML" in rate and f"{own['everyone']}: Everyone" in rate


# What came out


def line_of(found, row, target, over=None, metric="accuracy", kind=None):
    """The one line of a comparison that is asked for; without `over`, the first of the row."""
    chosen = found[(found["row"] == row) & (found["target"] == target) & (found["metric"] == metric)]
    chosen = chosen if kind is None else chosen[chosen["kind"] == kind]
    (line,) = (chosen[:1] if over is None else chosen[chosen["over"] == over]).to_dict("records")
    return line


def right(folder, world, cell, target):
    """For each seed and test row: was it right? And the premises. From the records and the corpus alone."""
    rows = [row for row in corpora.nli(world.data) if row["language"] == target and row["split"] == "test"]
    found = []
    for seed in (0, 1):
        record = json.loads((folder / "cells" / f"{grids.Run(cell, seed, ()).name}.json").read_text("utf-8"))
        predicted = record["results"][target]["zero-shot"]["predicted"]
        found.append([int(digit) == row["label"] for digit, row in zip(predicted, rows, strict=True)])
    return np.array(found), [row["premise_id"] for row in rows]


def test_gains_are_paired_and_their_intervals_drawn_over_premises(table_5, world):
    found = reproduce.compare("xla-table5", table_5)
    xla, x_maml = Cell("xla-maml", ("hi",), False, None, True, True), Cell("x-maml", ("hi",), False)
    for over, other, paper in (("Baseline", Cell("baseline", (), False), 4.16), ("X-MAML hi", x_maml, -0.17)):
        both = {
            target: (right(table_5, world, xla, target), right(table_5, world, other, target)[0])
            for target in ("es", "zh")
        }
        (ours, premises), theirs = both["zh"]
        line = line_of(found, "XLA-MAML hi", "zh", over)
        assert line["ours"] == pytest.approx(100 * ours.mean())
        assert line["sd"] == pytest.approx(np.std(100 * ours.mean(1), ddof=1))
        expected = paired_difference(ours, theirs, premises)
        assert (line["gain"], line["low"], line["high"]) == pytest.approx(expected)
        assert (line["seeds"], line["paired"], line["rows"]) == (2, 2, len(premises))
        assert line["paper"] == 76.24 and line["paper_gain"] == pytest.approx(paper)
        together = line_of(found, "XLA-MAML hi", "all", over)
        ours = np.concatenate([each for (each, _), _ in both.values()], 1)
        theirs = np.concatenate([control for _, control in both.values()], 1)
        expected = paired_difference(ours, theirs, [name for each, _ in both.values() for name in each[1]])
        assert (together["gain"], together["low"], together["high"]) == pytest.approx(expected)
        assert together["ours"] == pytest.approx(100 * ours.mean())
    assert line_of(found, "XLA-MAML hi", "all", "Baseline")["paper_gain"] == pytest.approx((0.98 + 4.16) / 2)
    base = line_of(found, "Baseline", "zh")
    assert (base["over"], base["paper"]) == ("", 72.08) and np.isnan(base["gain"])


def test_a_table_counts_each_test_once_and_draws_once(table_5, monkeypatch):
    """Rendering a large table took minutes: premises were drawn anew for each target and each pair of lines."""
    counted, drawn, new = [], [], intervals._new
    metric = METRICS["nli"][0]

    def rows(said, *others):
        counted.append(said)
        return metric.rows(said, *others)

    monkeypatch.setitem(METRICS, "nli", (replace(metric, rows=rows),))
    monkeypatch.setattr(intervals, "_new", lambda groups, seed: drawn.append(groups) or new(groups, seed))
    intervals._kept.cache_clear()
    found = reproduce.compare("xla-table5", table_5)
    tests = [kinds for record in comparisons.load(table_5).records for kinds in record["results"].values()]
    assert found["low"].notna().sum() > len(counted) > 0 and len(counted) <= sum(map(len, tests))
    assert len(drawn) == len(set(drawn))


def test_all_targets_together_have_the_seeds_that_all_have(table_5, world, tmp_path):
    """es lacks seed 0 in XLA-MAML: the gain is of seed 1 in both, as the score is."""
    shutil.copytree(table_5, tmp_path / "here")
    xla, base = Cell("xla-maml", ("hi",), False, None, True, True), Cell("baseline", (), False)
    path = tmp_path / "here" / "cells" / f"{grids.Run(xla, 0, ()).name}.json"
    record = json.loads(path.read_text("utf-8"))
    del record["results"]["es"]
    path.write_text(json.dumps(record), "utf-8")
    ours, theirs = (
        np.concatenate([right(table_5, world, cell, target)[0][1] for target in ("es", "zh")]) for cell in (xla, base)
    )
    line = line_of(reproduce.compare("xla-table5", tmp_path / "here"), "XLA-MAML hi", "all", "Baseline")
    assert line["ours"] == pytest.approx(100 * ours.mean()) and line["paired"] == line["seeds"] == 1
    assert line["gain"] == pytest.approx(100 * (ours.mean() - theirs.mean()))


def test_a_metric_of_the_whole_set_is_one_of_all_rows_together(table_5, world, monkeypatch):
    """A mean F1 of all targets is not the mean of theirs; it has no figure of the paper, and accuracy keeps its own."""
    before = reproduce.compare("xla-table5", table_5)
    monkeypatch.setitem(METRICS, "nli", (*METRICS["nli"], small_world.MEAN_F1))
    found = reproduce.compare("xla-table5", table_5)
    pd.testing.assert_frame_equal(found[found["metric"] != "mean_f1"].reset_index(drop=True), before)
    assert found[found["metric"] == "mean_f1"][["paper", "paper_gain"]].isna().all(axis=None)
    results, scores = comparisons.load(table_5), {}
    right = [label for target in ("es", "zh") for label in results.rows[target]["label"]]
    for record in results.records:
        tests = record["results"]
        said = [label for target in ("es", "zh") for label in tests[target]["zero-shot"]["predicted"]]
        score = 100 * f1_score(right, said, labels=list("012"), average="macro")
        scores.setdefault(comparisons.cell_of(record), []).append(score)
    ours = line_of(found, "XLA-MAML hi", "all", "Joint hi", "mean_f1")
    assert ours["ours"] == pytest.approx(np.mean(scores[Cell("xla-maml", ("hi",), False, None, True, True)]))
    joint = line_of(found, "Joint hi", "all", "Baseline", "mean_f1")
    assert joint["ours"] == pytest.approx(np.mean(scores[Cell("joint", ("hi",), False)]))
    assert ours["gain"] == pytest.approx(ours["ours"] - joint["ours"]) and ours["low"] < ours["high"]
    assert "\nzero-shot, mean F1 in %" in report.text(found)


def test_before_the_first_run_is_finished_all_ours_are_dashes(table_5, tmp_path, capsys):
    (tmp_path / "cells").mkdir()
    for name in ("study.json", "rows.json"):
        shutil.copy(table_5 / name, tmp_path / name)
    found = reproduce.compare("xla-table5", tmp_path)
    assert list(dict.fromkeys(found["target"])) == ["es", "zh", "all"] and found["ours"].isna().all()
    assert main(["reproduce", "xla-table5", "--no-train", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "nothing was run, 0 seeds" in said and "79.54" in said and (tmp_path / "xla-table5.html").exists()


def test_a_folder_without_its_rows_has_scores():
    stored = data_directory() / "results" / "small_leave_one_out"
    found = reproduce.compare("treemaml-table1", stored, ["de", "zh"])
    line = line_of(found, "Fixed TreeMAML", "de")
    assert line["seeds"] == 3 and line["ours"] == pytest.approx(69.48, abs=1) and np.isnan(line["gain"])


def test_controls_have_no_figure_of_the_paper(table_5):
    found = reproduce.compare("xla-table5", table_5)
    joint = found[found["row"].str.startswith("Joint") & (found["metric"] == "accuracy")]
    assert len(joint) == 6 and joint[["paper", "paper_gain"]].isna().all(axis=None) and joint["gain"].notna().all()
    pair = found[found["row"] == "XLA-MAML bg+de"]
    assert set(pair["over"]) == {"Baseline", "Joint bg+de"}


def test_questions_have_f1_and_exact_match(table_4):
    found = reproduce.compare("xla-table4", table_4)
    record = json.loads((table_4 / "cells" / "x-maml-hi-languages-seed-0.json").read_text("utf-8"))
    for metric, paper in (("f1", 61.87), ("exact_match", 48.16)):
        line = line_of(found, "X-MAML hi", "zh", "Baseline", metric, "zero-shot")
        assert line["ours"] == record["results"]["zh"]["zero-shot"][metric]
        assert line["paper"] == paper
        base = line_of(found, "Baseline", "zh", "", metric, "zero-shot")["ours"]
        assert line["gain"] == pytest.approx(line["ours"] - base)
    few = line_of(found, "XLA-MAML hi", "zh", "Joint hi", "f1", "fine-tuned")
    assert few["gain"] == pytest.approx(
        few["ours"] - line_of(found, "Joint hi", "zh", None, "f1", "fine-tuned")["ours"]
    )


def test_a_target_that_is_an_auxiliary_is_a_dash(table_4):
    found = reproduce.compare("xla-table4", table_4)
    line = line_of(found, "X-MAML hi", "hi", "Baseline", "f1", "zero-shot")
    assert line["seeds"] == line["paired"] == 0 and np.isnan(line["ours"]) and np.isnan(line["gain"])
    assert not np.isnan(line_of(found, "Baseline", "hi", "", "f1", "zero-shot")["ours"])
    together = line_of(found, "X-MAML hi", "all", "Baseline", "f1", "zero-shot")
    rows = comparisons.load(table_4).rows
    assert np.isnan(together["ours"]) and together["rows"] == len(rows["es"]["pair"]) + len(rows["zh"]["pair"])
    counts = [len(rows[code]["pair"]) for code in ("es", "zh")]
    assert together["paper_gain"] == pytest.approx(np.average([70.15 - 69.13, 61.87 - 56.04], weights=counts))
    (row,) = [line for line in report.text(found).splitlines() if line.startswith("X-MAML hi")][:1]
    assert row.split()[-4:] == ["70.15", "61.87", "–", "–"]  # es, zh, hi, all


def test_a_covering_line_is_compared_with_the_random_one_first(world, tmp_path):
    train("xla-table6", world, tmp_path / "nli", ["zh"], [0])
    found = reproduce.compare("xla-table6", tmp_path)
    over = found[(found["row"] == "XLA-MAML hi, covering") & (found["metric"] == "accuracy")]["over"].tolist()
    assert over == ["XLA-MAML hi, random", "Baseline", "Joint hi"]
    line = line_of(found[found["task"] == "nli"], "XLA-MAML hi, covering", "zh", "XLA-MAML hi, random")
    assert line["paper_gain"] == pytest.approx(73.43 - 72.91)
    assert line["gain"] == pytest.approx(
        line["ours"] - line_of(found[found["task"] == "nli"], "XLA-MAML hi, random", "zh")["ours"]
    )
    asked = found[found["task"] == "qa"]  # not run
    assert len(asked) and asked["ours"].isna().all() and (asked["seeds"] == 0).all()
    assert asked[asked["metric"] == "f1"]["paper"].notna().any()
    assert asked[asked["metric"] == "exact_match"]["paper"].isna().all()
    said = report.text(found)
    assert "questions, zero-shot, F1" in said and "Ours: toy scale, XNLI-1.0.zip, xlm-r, 1 seed." in said
    assert "mini-QA" not in said


def test_each_target_left_out_is_found_in_its_own_run(world, tmp_path):
    for method in ("baseline", "joint", "fixed-treemaml"):
        train("treemaml-table1", world, tmp_path, ["de", "zh"], [0], method)
    found = reproduce.compare("treemaml-table1", tmp_path)
    for path in (tmp_path / "cells").glob("fixed-treemaml-*.json"):
        ((target, tests),) = json.loads(path.read_text("utf-8"))["results"].items()
        assert target not in path.name.split("-genres")[0].removeprefix("fixed-treemaml-").split("+")
        assert line_of(found, "Fixed TreeMAML", target)["ours"] == tests["few-shot"]["accuracy"]
    joint = line_of(found, "Fixed TreeMAML", "all", "Joint")
    difference = joint["ours"] - line_of(found, "Joint", "all")["ours"]
    assert joint["gain"] == pytest.approx(difference) and joint["paired"] == 1
    missing = line_of(found, "Fixed TreeMAML", "de", "MAML")
    assert missing["paired"] == 0 and missing["paper_gain"] == pytest.approx(76.89 - 73.56)


def test_the_means_of_whole_lines_are_the_papers(world, tmp_path):
    train("treemaml-table1", world, tmp_path, ["de"], [0], "baseline")
    known = papers.table("treemaml-table1")
    found = reproduce.compare("treemaml-table1", tmp_path, known.targets)
    for row, mean in (("Fixed TreeMAML", 73.76), ("XMAML, two languages", 72.20), ("Baseline", 71.70)):
        assert line_of(found, row, "all")["paper"] == pytest.approx(mean, abs=0.011)


def test_the_maps_of_figure_2_are_its_gains(world, tmp_path):
    runs = reproduce.grid("xla-figure2", ["es", "hi"], [0])["nli"]
    chosen = [run for run in runs if run.cell.auxiliaries in ((), ("en",), ("hi",))]
    study.run(chosen, tmp_path, world)
    found = reproduce.compare("xla-figure2", tmp_path)
    maps = tableplots.maps_data(found[found["metric"] == "accuracy"])
    over_baseline, joint, over_joint = maps.values()
    assert list(over_baseline.index) == list(XNLI) and list(over_baseline.columns) == ["es", "hi"]
    assert over_baseline.at["hi", "es"] == line_of(found, "XLA-MAML hi", "es", "Baseline")["gain"]
    assert over_baseline.at["en", "hi"] == line_of(found, "X-MAML en", "hi", "Baseline")["gain"]
    assert np.isnan(over_baseline.at["hi", "hi"]) and np.isnan(over_baseline.at["de", "es"])
    assert joint.at["hi", "es"] == line_of(found, "Joint hi", "es", "Baseline")["gain"]
    assert over_joint.at["hi", "es"] == pytest.approx(over_baseline.at["hi", "es"] - joint.at["hi", "es"])
    drawn = tableplots.page(found)
    assert all(name in drawn for name in maps)


# The command


def test_a_finished_folder_is_shown_and_not_trained_again(table_5, world, capsys, monkeypatch):
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("a finished run was done again"))
    command = ["reproduce", "xla-table5", "--targets", "es", "zh", "--seeds", "2", "--out", str(table_5)]
    assert main([*command, *options(world)]) == 0
    trained = capsys.readouterr().out
    assert main(["reproduce", "xla-table5", "--scale", "small", "--no-train", "--out", str(table_5)]) == 0
    shown = capsys.readouterr().out
    assert shown.strip() in trained and "2 seeds" in shown and "mBERT" not in shown.split("Settings")[0]
    found = reproduce.compare("xla-table5", table_5)
    line = line_of(found, "XLA-MAML hi", "zh", "Joint hi")
    gain, low, high = (re.escape(format(line[name], "+.2f")) for name in ("gain", "low", "high"))
    said = shown.split("\nzh, zero-shot")[1]
    seeds = re.escape(" ".join(f"{value:+.1f}" for value in line["gain_by_seed"]))
    assert re.search(
        rf"XLA-MAML hi − Joint hi +– +{gain} \({seeds}\) +\[ *{low}, +{high}\].*\(2 seeds, 24 rows\)", said
    )
    assert "would have been found in 4 of 5 tries" in said and line["covers"] == "premises and seeds"
    assert (table_5 / "xla-table5.txt").read_text("utf-8").strip() in shown


def test_the_csv_is_the_comparison(table_5, tmp_path):
    found = reproduce.compare("xla-table5", table_5)
    report.write_csv(found, tmp_path / "a.csv")
    read = pd.read_csv(tmp_path / "a.csv", keep_default_na=True)
    assert list(read.columns) == list(found.columns) and len(read) == len(found)
    for name in ("paper", "ours", "sd", "paper_gain", "gain", "low", "high"):
        assert read[name].to_numpy() == pytest.approx(found[name].to_numpy(), abs=1e-3, nan_ok=True)
    for name, mean in (("by_seed", "ours"), ("gain_by_seed", "gain")):
        for told, value in zip(read[name], found[mean], strict=True):
            assert isinstance(told, float) or np.mean([float(each) for each in told.split()]) == pytest.approx(
                value, abs=2e-3
            )


def test_the_page_is_whole_and_stands_alone(table_5, tmp_path):
    found = reproduce.compare("xla-table5", table_5)
    tableplots.write_page(found, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>") and "Plotly.newPlot" in page and len(page) > 3e6
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    line = line_of(found, "XLA-MAML bg+de", "es", "Baseline")
    for value in (line["gain"], line["low"], line["high"], line["paper_gain"]):
        assert format(value, "+.2f") in page
    assert format(line["ours"], ".2f") in page and "79.50" in page and "not stated, our choice" in page


def test_the_figure_has_the_papers_gains_and_ours(table_5):
    found = reproduce.compare("xla-table5", table_5)
    figure = tableplots.gains(tableplots.gains_data(found), "zero-shot", "XLM-R base")
    titles = [note.text for note in figure.layout.annotations]
    panel = next(i for i, text in enumerate(titles) if "XLA-MAML hi" in text)
    paper, ours = figure.data[2 * panel : 2 * panel + 2]
    lines = [line_of(found, "XLA-MAML hi", target, "Baseline") for target in ("es", "zh", "all")]
    assert list(paper.x) == pytest.approx([line["paper_gain"] for line in lines])
    assert list(ours.x) == pytest.approx([line["gain"] for line in lines])
    assert list(ours.error_x.array) == pytest.approx([line["high"] - line["gain"] for line in lines])
    assert list(ours.error_x.arrayminus) == pytest.approx([line["gain"] - line["low"] for line in lines])
    assert [axis for axis in figure.layout.yaxis.ticktext] == ["es", "zh", "<b>all</b>"]


def test_files_are_written_whole_or_not_at_all(table_5, tmp_path, monkeypatch):
    found = reproduce.compare("xla-table5", table_5)
    (tmp_path / "a.csv").write_text("old", "utf-8")

    def cut(frame, path, **given):
        path.write_text("half of it", "utf-8")
        raise OSError("no space left")

    monkeypatch.setattr(pd.DataFrame, "to_csv", cut)
    with pytest.raises(OSError):
        report.write_csv(found, tmp_path / "a.csv")
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("a.csv", "old")]


def test_what_was_done_is_shown_when_it_is_stopped(world, tmp_path, capsys, monkeypatch):
    real, calls = recipes.run, []

    def interrupted(*arguments, **given):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **given)

    monkeypatch.setattr(recipes, "run", interrupted)
    command = ["reproduce", "xla-table5", "--targets", "zh", "--seeds", "1", "--out", str(tmp_path / "a")]
    assert main([*command, *options(world)]) == 130
    said = capsys.readouterr().out
    assert "Unfinished" in said and "XLA-MAML hi − Baseline" in said
    found = pd.read_csv(tmp_path / "a" / "xla-table5.csv")
    assert set(found[found["seeds"] > 0]["row"]) == {"Baseline", "XLA-MAML hi"}


def test_the_tasks_of_a_table_take_their_own_encoders(world, questions, tmp_path, capsys, monkeypatch):
    """Table 6 hands each study its own corpus and encoder; the runs themselves are left out here."""
    asked = []
    monkeypatch.setattr(study, "run", lambda runs, folder, world, *_: asked.append((folder, world, len(runs))))
    command = ["reproduce", "xla-table6", "--targets", "zh", "--seeds", "1", "--out", str(tmp_path)]
    command += ["--data", world.data, questions.data, "--encoder", world.encoder, questions.encoder]
    assert main(command) == 0
    both = [(tmp_path / "nli", world, 7), (tmp_path / "qa", questions, 7)]
    assert asked == both

    def failing(runs, folder, world, *_):
        asked.append((folder, world, len(runs)))
        raise study.RunsFailed("one run failed.")

    monkeypatch.setattr(study, "run", failing)
    assert main(command) == 2 and asked == both * 2  # the second task is done though runs of the first failed
    assert capsys.readouterr().err == "minimeta: one run failed.\n"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["xla-table2"], ["'xla-table2'", "xla-table3", "treemaml-table1"]),
        (["treemaml-table1", "--targets", "tr"], ["tr is not a target of treemaml-table1", "en, fr"]),
        (["xla-table3", "--targets", "xx"], ["'xx'"]),
        (["xla-table3", "--seeds", "0"], ["--seeds is 0"]),
        (["xla-table3", "--scale", "small"], ["--data", "XNLI-1.0.zip"]),
        (["xla-table4", "--scale", "small"], ["--data", "MLQA_V1.zip"]),
        (["xla-table6", "--encoder", "one"], ["nli and qa", "--encoder takes 2"]),
        (["xla-table5", "--encoder", "one", "two"], ["about nli", "--encoder takes 1"]),
        (["xla-table5", "--no-train"], ["There is no run of xla-table5"]),
        (["xla-table5", "--no-train", "--targets", "fr"], ["fr is not a target of xla-table5", "es, ar"]),
    ],
)
def test_calls_that_are_refused(arguments, parts, tmp_path, capsys):
    assert main(["reproduce", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minimeta: ") and len(said.splitlines()) == 1
    assert all(part in said for part in parts), said
    assert not (tmp_path / "out").exists()


def test_a_target_without_test_rows(world, tmp_path, capsys):
    command = ["reproduce", "treemaml-table1", "--targets", "el", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main([*command, *options(world)]) == 2
    said = capsys.readouterr().err
    assert "no test rows for el" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_targets_are_all_of_the_papers_that_have_test_rows(world, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(study, "run", lambda runs, *_: asked.extend(runs))
    assert main(["reproduce", "treemaml-table1", "--seeds", "1", "--out", str(tmp_path), *options(world)]) == 0
    assert {code for run in asked for code in run.targets} == set(PHYLOGENY.leaves) - {"el"}


def test_table_5_needs_an_xlm_r_at_full_scale(world, tmp_path):
    bert = small_world.write_encoder(tmp_path / "bert", "bert")
    of_bert = replace(world, scale="full", encoder=str(bert))
    complaint(lambda: reproduce.check_world("xla-table5", of_bert), "is a bert model", "XLM-R", "--encoder")
    reproduce.check_world("xla-table5", replace(world, scale="full"))
    reproduce.check_world("xla-table5", replace(of_bert, scale="toy"))
    reproduce.check_world("xla-table3", of_bert)


def test_a_page_needs_plotly(tmp_path, capsys, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["reproduce", "xla-table5", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'minimeta[lab]'" in capsys.readouterr().err
