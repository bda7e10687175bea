"""What a table costs: the sums, with a timer that is not one; the command at toy scale; the stand-in of full scale."""

import re

import pytest
import torch
from transformers import BertConfig, XLMRobertaConfig

import minimeta.__main__ as cli
from minimeta.studies import cost, recipes, reproduce, sized
from minimeta.studies.methods import METHODS
from minimeta.studies.world import World

TIMED = cost.Timed(step=2.0, tuning=0.5, row=0.01, frozen=0.1, memory=3.0)


@pytest.fixture
def full():
    return {task: sized.Sized("full", "no data", "mBERT", task) for task in ("nli", "qa")}


def timer(seen, answer=TIMED):
    def take(run, world):
        seen.append((run.cell.method, len(run.cell.auxiliaries)))
        return answer

    return take


def test_table_1_of_treemaml(full):
    seen = []
    grid = reproduce.grid("treemaml-table1", ["de", "hi"], range(3))
    found = cost.cost(grid, full, timer=timer(seen))
    assert len(seen) == len(set(seen)) == len(found) - 2  # each kind of run was timed once
    for kind, line in found.iloc[:-2].iterrows():
        method = next(each for each in METHODS.values() if kind in (each.title, f"{each.title} (11)"))
        runs = 3 if kind == "Baseline" else 6  # the Baseline is one run for all targets
        assert line["runs"] == runs and line["step"] == 2.0 and line["GB"] == 3.0
        assert line["training"] == pytest.approx(runs * 500 * 2 / 3600 * method.trains)
        # Each target has 5,010 rows; companions take inner steps once in each of its ten genres.
        assert line["tests"] == pytest.approx(3 * 2 * (5010 * 0.01 + 10 * 2 * method.pools) / 3600)
    assert found["training"].iloc[-2] == pytest.approx(12 * (1990 + 5010) * 0.1 / 3600)  # a fifth of dev is held out
    for name in ("runs", "training", "tests"):
        assert found[name].iloc[-1] == pytest.approx(found[name].iloc[:-1].sum())
    assert found["GB"].iloc[-1] == 3.0


def test_few_shot_of_xla_maml_is_an_epoch_of_batches(full):
    grid = reproduce.grid("xla-table4", ["de"], [0])
    lines = []

    def take(run, world):
        lines.append(run)
        return TIMED._replace(frozen=0.0, memory=float(len(lines)))

    found = cost.cost(grid, full, timer=take)
    assert len(found) == len(lines) + 1  # no frozen layers: everything is adapted
    batches = -(-(512 * 4 // 5) // 12)
    for line, run in zip(found.itertuples(), lines, strict=False):
        alike = [
            r
            for r in grid["qa"]
            if (r.cell.method, len(r.cell.auxiliaries)) == (run.cell.method, len(run.cell.auxiliaries))
        ]
        tests = [kind for each in alike for kind in each.kinds if kind in each.cell.kinds]
        wanted = len(tests) * 4517 * 0.01 + tests.count("fine-tuned") * batches * 0.5
        assert line.tests == pytest.approx(wanted / 3600)
    assert found["GB"].iloc[-1] == len(lines)


def test_a_table_with_two_tasks_says_which(full):
    found = cost.cost(reproduce.grid("xla-table6", ["de"], [0]), full, timer=timer([]))
    assert {"Baseline, nli", "Baseline, qa", "XLA-MAML (1), nli"} <= set(found.index)


def test_the_command_at_toy_scale(capfd, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.delenv("MINIMETA_SCALE", raising=False)
    assert cli.main(["cost", "xla-table7", "--targets", "de", "--seeds", "1", "--device", "cpu"]) == 0
    first, second, third, empty, head, *rows = capfd.readouterr().out.splitlines()
    assert "10 outer steps of each kind" in first and "tiny-encoder-nli on mini-NLI" in first and "on cpu" in first
    assert "Table 7" in second and "seeds 0 to 0, targets de" in second and "GB" in third and empty == ""
    assert re.split(r"\s{2,}", head.strip()) == ["runs", "s a step", "training h", "tests h", "GB"]
    assert rows[0].startswith("Baseline") and rows[-1].startswith("all") and rows[-2].startswith("frozen layers")
    steps = [float(row.split()[-4]) for row in rows if row.startswith(("XLA", "Joint"))]
    assert len(steps) == 2 and min(steps) > 0  # with one auxiliary: de is in both pairs


def test_small_scale_needs_what_reproduce_needs(capfd):
    assert cli.main(["cost", "xla-table7", "--scale", "small"]) == 2
    assert "There is no corpus or encoder to use at small scale" in capfd.readouterr().err


def test_a_table_that_there_is_not(capfd):
    assert cli.main(["cost", "table9"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("minimeta: Unknown table 'table9'; the tables are treemaml-table1") and said.count("\n") == 1


@pytest.mark.parametrize("encoder", ["mBERT", "XLM-R base"])
@pytest.mark.parametrize(("task", "adapt"), [("nli", "head"), ("nli", "all"), ("qa", "all")])
def test_the_stand_in_takes_every_step_that_is_timed(monkeypatch, encoder, task, adapt):
    """With the paper's encoders made tiny, all else as it is."""
    small = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    monkeypatch.setattr("transformers.BertConfig", lambda **sizes: BertConfig(**sizes | small))
    monkeypatch.setattr("transformers.XLMRobertaConfig", lambda **sizes: XLMRobertaConfig(**sizes | small))
    monkeypatch.setattr(cost, "STEPS", 2)
    sized._features.cache_clear()
    name = {"nli": "treemaml-table1" if adapt == "head" else "xla-table3", "qa": "xla-table4"}[task]
    world = sized.Sized("full", "no data", encoder, task, device="cpu")
    runs = reproduce.grid(name, ["de"], [0])[task]
    run = next(r for r in runs if r.cell.method == ("fixed-treemaml" if adapt == "head" else "xla-maml"))
    found = cost.timed(run, world)
    sized._features.cache_clear()
    assert found.step > 0 and found.row > 0 and (found.frozen > 0) == (adapt == "head")
    assert (found.tuning > 0) == ("fine-tuned" in run.kinds)
    rows = recipes.sampler_for(run.cell, world.rows(), world.settings(run.cell), 0)(0)
    assert len(rows.tasks) == (110 if adapt == "head" else len(run.cell.auxiliaries))
    features = sized._features(encoder, task, adapt, 16, False, "cpu")
    batch = features[rows.query["row"][:1]]
    assert batch["mask"].shape[2] == 16 and batch["mask"].all()  # as long as they may be
    sized._features.cache_clear()


def test_a_stand_in_has_as_many_rows_as_the_corpus():
    world = sized.Sized("full", "no data", "mBERT", "qa")
    assert isinstance(world, World) and world.tested() == ["en", "es", "de", "ar", "vi", "zh", "hi"]
    known = world.rows().to_pandas()
    assert (known["split"] == "test").sum() == 42245
