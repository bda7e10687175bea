# %% after 04-41
from minimeta.show import plane
from minimeta.tasks import branching_points


def distances(shots, omega, draws=20):
    targets, episodes = branching_points(TREE, shots, seed=13)
    return {
        name: torch.tensor(
            [plane.ways(targets, episodes(i), g, 4, 0.2, omega).distances[-1].mean() for i in range(draws)]
        )
        for name, g in (groupings | {"Random tree": random_tree(TREE, 0)}).items()
    }


few, many, far_away = distances(5, (0, 0)), distances(50, (0, 0)), distances(5, (3, -3))
assert (few["Learned TreeMAML"] < few["MAML"]).sum() >= 14
assert (few["Learned TreeMAML"] > few["Fixed TreeMAML"]).sum() >= 15
assert abs(many["Learned TreeMAML"].mean() - many["MAML"].mean()) < 0.03
assert (many["Fixed TreeMAML"] > many["Learned TreeMAML"]).sum() >= 18
assert (far_away["Random tree"] < far_away["Learned TreeMAML"]).sum() >= 18
targets, episodes = branching_points(TREE, 5, seed=13)
runs = [plane.ways(targets, episodes(i), groupings["Learned TreeMAML"], 4, 0.2, (3, -3)) for i in range(20)]
clusters = torch.tensor([[len(set(step)) for step in run.labels[1:3].tolist()] for run in runs]).float().mean(0)
assert 3 < clusters[0] < 5 and 6 < clusters[1] < 7.5  # "four clusters at the first and seven at the second"

# %% after 04-43
explorer, means = learned.LearnedExplorer(), {}
for explorer.shots.value in (5, 20, 40):
    for _ in range(20):
        explorer.draw_again()
    found = explorer.found[explorer.shots.value]
    means[explorer.shots.value] = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
times = {shots: mean["error, Learned TreeMAML"] / mean["error, Fixed TreeMAML"] for shots, mean in means.items()}
assert times[5] > 1.4 and times[20] < 1.15 and times[40] < 1.05
assert means[5]["purity, pairs"] < 0.62 and means[5]["purity, pairs"] < means[20]["purity, pairs"] - 0.15
assert 0.75 < means[40]["purity, pairs"] < 0.95

for shots, whole in ((5, 3), (20, 15), (40, 19)):  # of 40 draws
    rate, xi = learned.settings(shots)["Learned TreeMAML"]
    drawn = [learned.grown(learner, curves(shots, 0)(i), tree, learned_tree(xi), rate=rate).tree for i in range(40)]
    assert sum(learned.purities(tree, each)["pairs"] == 1 for each in drawn) == whole
forty, chosen = [curves(40, 0)(i) for i in range(40)], learned.settings(40)
ways = {"MAML": alone(), "Fixed TreeMAML": fixed_tree(tree), "Learned TreeMAML": learned_tree(xi)}
costs = {name: learned.error(learner, forty, way, chosen[name][0]) for name, way in ways.items()}
assert abs(costs["Learned TreeMAML"] / costs["Fixed TreeMAML"] - 0.91) < 0.01
assert abs(costs["MAML"] / costs["Fixed TreeMAML"] - 1.09) < 0.01

# %% after 04-46
at = {name: {shots: mean for shots, (_, mean, _) in points.items()} for name, points in means.items()}
near, away = at["ω in the middle"], at["ω far away"]
chance = learned.shuffled_leaves(tree)["pairs"]
assert abs(chance - 0.42) < 0.01 and chance + 0.05 < near[5] < 0.65 and near[40] > near[5] + 0.2
assert all(abs(near[shots] - said) < 0.03 for shots, said in ((5, 0.57), (10, 0.67), (20, 0.81), (40, 0.86)))
assert all(away[shots] < near[shots] - 0.08 for shots in learned.SHOTS) and abs(away[40] - near[10]) < 0.08
single = purity["ω in the middle"][20]
assert min(single) < 0.6 and max(single) == 1

# %% after 04-16
rows = learned.benchmark().pivot_table("error", ["shots", "seed"], "method")
found, halves = rows["Learned TreeMAML"], rows["Fixed, halves first"]
assert (found > halves).all()
ahead = (found < rows["Random tree"]).groupby("shots").sum()
assert ahead[5] == 5 and all(ahead[shots] == 8 for shots in (10, 20, 30, 40))
found_ratios = learned.ratios(["Learned TreeMAML", "Fixed, halves first", "Learned TreeMAML, one tree"])
said = {5: (1.61, 1.78, 1.95), 20: (0.96, 1.05, 1.15), 30: (0.88, 0.94, 1.00), 40: (0.81, 0.94, 1.07)}
for shots, ends in said.items():
    assert all(abs(a - b) < 0.011 for a, b in zip(found_ratios["Learned TreeMAML"][shots], ends, strict=True))
assert [round(found_ratios["Fixed, halves first"][shots][1], 2) for shots in (30, 40)] == [0.77, 0.74]
assert [round(found_ratios["Learned TreeMAML, one tree"][shots][1], 2) for shots in (5, 20)] == [1.58, 1.28]

# %% after 04-31
for noise, said in ((0.5, (0.71, 0.51)), (0, (0.73, 0.54))):
    few = [learned.grown(learner, curves(5, 0, noise)(i), tree, learned_tree(), rate=0.8).tree for i in range(40)]
    pure = [learned.purities(tree, each) for each in few]
    mean = [sum(each[level] for each in pure) / 40 for level in ("halves", "pairs")]
    assert all(abs(a - b) < 0.01 for a, b in zip(mean, said, strict=True)), mean
swaps = {"siblings": ("0.0.0", "0.0.1"), "in a half": ("0.0.1", "0.1.0"), "across": ("0.0.1", "1.0.0")}
episodes = [[curves(20, seed)(i) for i in range(12)] for seed in range(5)]
true = [learned.error(learner, part, fixed_tree(tree), 0.8) for part in episodes]
cost = {"MAML": [learned.error(learner, part, alone(), 0.8) / t for part, t in zip(episodes, true, strict=True)]}
for name, (a, b) in swaps.items():
    wrong = fixed_tree(tree.rename({a: b, b: a}))
    cost[name] = [learned.error(learner, part, wrong, 0.8) / t for part, t in zip(episodes, true, strict=True)]
assert all(abs(times - 1) < 1e-4 for times in cost["siblings"])
assert all(1.15 < times < 1.6 for times in cost["in a half"]) and all(1.6 < times < 3.4 for times in cost["across"])
assert abs(sum(cost["across"]) - sum(cost["MAML"])) < 0.25 * sum(cost["MAML"])
