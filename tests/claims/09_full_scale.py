# %% after fs-17
import tempfile

from minimeta.text.episodes import rows_of

assert differences["--tasks-per-chunk 1"] < 1e-4 and differences["--tasks-per-chunk 4"] < 1e-4
assert 1e-4 < differences["--bf16"] < 0.1 < differences["--first-order"] < 0.6
assert differences["--first-order, α = 0.00001"] < 0.01

# What the cache gives is the same, bit for bit, and for Table 1 with mBERT it has at most 35 GB.
with tempfile.TemporaryDirectory() as folder:
    cached = plain.features(corpora.nli(), folder)
    cached.keep([("hi", "dev")], say=lambda words: None)
    rows = torch.tensor([rows_of(corpus, "hi", "dev")[::40]])
    assert torch.equal(cached[rows]["hidden"], features[rows]["hidden"])
assert 35 < 12 * (2490 + 5010) * 128 * 768 * 4 / 1e9 < 35.5

# %% after fs-07
steps = {name: sum(found) for name, found in counted.items()}
assert (steps["treemaml-table1"], steps["xla-table3"], steps["xla-table4"]) == (108_000, 52_500, 2_700)
assert (round(hours["fine-tuning for nli, once"], 1), round(hours["fine-tuning for qa, once"], 1)) == (10.2, 4.1)
two_tasks = 48  # of the 105 trainings of Table 3; each of their steps counts once or twice
assert round(steps["xla-table3"] / 100 / 60) == 9 and round((steps["xla-table3"] + 500 * two_tasks) / 100 / 60) == 13
assert round(2 * steps["xla-table4"] / 100 / 60, 1) == 0.9

# %% after fs-12
seconds = measured.set_index(["method", "variant"])["seconds"]
assert round(seconds["Fixed TreeMAML", "all 110 tasks together"]) == 7
assert round(seconds["XLA-MAML", "one task of 8 + 8"]) == 24
whole_step, in_tens = (seconds["Fixed TreeMAML", how] for how in ("all 110 tasks together", "--tasks-per-chunk 10"))
assert 1.14 < in_tens / whole_step < 1.16
gigabytes = measured.set_index(["method", "variant"])["GB"]
assert gigabytes["XLA-MAML", "one task of 8 + 8"] == gigabytes[-3:].nlargest(2).iloc[1] == 8.1 > gigabytes[:4].max()
assert 0.65 < gigabytes["Fixed TreeMAML", "--tasks-per-chunk 10"] / gigabytes.iloc[0] < 0.72
assert round(4 * 4 * 177_855_747 / 1e9, 1) == 2.8

# %% after fs-24
assert [each.state for each in monitor.states] == [studyplots.FINISHED] * 6

# %% after fs-26
assert left["baseline"].state == studyplots.FINISHED and left["joint"].state == studyplots.WAITING
assert left["x-maml"].state == studyplots.BEGUN and 10 <= left["x-maml"].step < left["x-maml"].steps == 50

# %% after fs-27
assert went_on == never_stopped

# %% after fs-31
results = comparisons.load(work / "mine")
assert table["rows"].eq(2880).all() and table["seeds"].eq(2).all()
assert comparisons.scores(results)["accuracy"].between(50, 95).all() and (table["low"] < table["high"]).all()
assert table["low"].iloc[-1] < 0 < table["high"].iloc[-1]  # X-MAML − Joint

# %% after fs-33
first, second = by_seed["seed 0"], by_seed["seed 1"]
overlap = {name: first[name][1] <= second[name][2] and second[name][1] <= first[name][2] for name in first}
assert [overlap[f"X-MAML {code} − Baseline"] for code in ("hi", "de", "ur")] == [True, False, False]
assert first["X-MAML ur − Baseline"][0] < -10 and 2.5 < second["X-MAML ur − Baseline"][0] < 3.5
