# %% after 04b-04
import numpy as np
import pandas as pd

from minimeta.files import data_directory

first, *_, fortieth = (learned.purities(tree, known[n - 1].tree) for n in (1, 2, 5, 10, 20, 40))
assert first["pairs"] < 0.6 and fortieth == {"halves": 1, "pairs": 1}
shown = np.mean([known[n - 1].cosines[i, i + 1] for n in (20, 40) for i in range(0, 8, 2)])
rest = [known[n - 1].cosines[i, j] for n in (20, 40) for a in (0, 4) for i in (a, a + 1) for j in (a + 2, a + 3)]
assert abs(np.mean(rest)) < 0.05
assert abs(shown - 0.2) < 0.05 and (known[4].cosines[:4, 4:] < 0).mean() > 0.8
runs = [learned.remembered(learner, curves(5, seed), tree, Memory(), episodes=20, xi=0.3) for seed in range(8)]
mean = {
    n: {level: sum(learned.purities(tree, run[n - 1].tree)[level] for run in runs) / 8 for level in ("halves", "pairs")}
    for n in (1, 5, 20)
}
assert mean[1]["pairs"] < 0.65 < mean[5]["pairs"] < mean[20]["pairs"] and mean[20]["pairs"] > 0.82
assert mean[1]["halves"] < 0.8 < mean[5]["halves"] and mean[20]["halves"] > 0.9

# %% after 04b-09
halves, pairs, fresh = ({step: sum(v) / 6 for step, v in points.items()} for points in purity.values())
assert halves[20] > 0.9 and pairs[20] > 0.82 and pairs[40] > 0.87 and pairs[2] < 0.7
assert all(fresh[step] < 0.7 for step in fresh)

# %% after 04b-11
ratio = learned.ratios(["Learned, memory"])["Learned, memory"]
assert [round(x, 2) for x in ratio[5]] == [1.04, 1.09, 1.13] and round(ratio[10][1], 2) == 1.04
assert all(ratio[shots][1] < 1.1 for shots in ratio) and all(1.0 < ratio[shots][1] < 1.035 for shots in (20, 30, 40))
rows = learned.benchmark().pivot_table("error", ["shots", "seed"], "method")
kept = rows["Learned, memory"]
assert (kept < rows["Random tree"]).all() and abs((kept / rows["Fixed TreeMAML"]).max() - 1.19) < 0.005
behind = (kept > rows["Fixed, halves first"]).groupby("shots").sum()
assert behind[5] == 5 and behind[10] == 3 and all(behind[shots] == 8 for shots in (20, 30, 40))

# %% after 04b-14
new95, old95, new1 = ({step: sum(v) / 6 for step, v in points.items()} for points in followed.values())
assert learned.purities(moved, tree)["halves"] == 0.5 and abs(new95[40] - 0.5) < 0.05
assert old95[45] > 0.85 and new95[45] < 0.7 and new95[60] > 0.9 and old95[60] < 0.65
assert new1[60] < 0.7 and new1[60] < new1[75] < new1[90] and new1[90] > 0.8

# %% after 04b-18
mean = {times: sum(v) / 8 for times, v in ratio["Learned, memory"].items()}
assert mean[0] > 1.4 and mean[0] > mean[1] > mean[2] > 1 and mean[5] < 1.25 and mean[20] < 1.12
assert abs(mean[2] - 1.17) < 0.05
assert sum(a < b for a, b in zip(ratio["Learned, memory"][0], ratio["MAML"][0], strict=True)) >= 7
assert sum(a < b for a, b in zip(ratio["Learned, memory"][0], ratio["Random tree"][0], strict=True)) >= 4
assert sum(ratio["MAML"][0]) / 8 > 2 and sum(ratio["Random tree"][0]) / 8 > 1.6

# What the last section says of real text.
found = pd.read_csv(data_directory() / "results" / "study_leave_one_out_small.csv")
found = found.query("method == 'Learned, memory' and target == 'all' and kind == 'few-shot'").set_index("control")
assert (found["seeds"] == 3).all() and (found["covers"] == "premises and seeds").all()
said = {
    "Learned TreeMAML": (1.35, 0.35, 2.35),
    "Random tree": (0.18, -0.66, 1.01),
    "Fixed TreeMAML": (0.16, -0.55, 0.87),
    "Joint": (0.17, -0.30, 0.63),
}
for control, numbers in said.items():
    line = found.loc[control, ["gain", "low", "high"]]
    assert all(abs(a - b) < 0.0051 for a, b in zip(line, numbers, strict=True)), (control, list(line))
