# %% after 03-35
from minimeta.otd import grow as grow_

online, events = grow_(*data["36 tasks"], depth=3)
assert online.tree().purity(branch) == online.tree().purity(family) == 1 and len(online.tree().clades()) == 8
assert [i for i, event in enumerate(events, 1) if len(event.moves) > 1] == [9, 10, 17, 29, 31]
assert 0.15 < online.nodes()[0].omega < 0.2

# %% after 03-04
assert [round(similarity.mean_similarity(matrix, rows), 2) for rows in (range(3), range(3, 6))] == [0.89, 0.85]
within = [matrix[i, j] for half in (range(3), range(3, 6)) for i in half for j in half if i < j]
assert (round(min(within), 2), round(max(within), 2)) == (0.72, 0.96)
assert (round(matrix[:3, 3:].min(), 2), round(matrix[:3, 3:].max(), 2)) == (-0.77, 0.54)

# %% after 03-52
assert [round(score(nodes, 0.245), 2) for nodes in choices.values()] == [0.40, 0.62, 0.16]
siblings, with_a1, _ = choices.values()
assert score(with_a1, 0.46) > score(siblings, 0.46) and score(with_a1, 0.47) < score(siblings, 0.47)
assert score(siblings, 0.6) == max(score(nodes, 0.6) for nodes in choices.values())
seen = {"a1_b1": a1_b1, "a1_a2": a1_a2, "a2_b1": a2_b1}
assert all(abs(matrix[names.index(pair[:2]), names.index(pair[3:])] - s) < 0.005 for pair, s in seen.items())
assert [round(sum(each) / len(each), 2) for _, each in (*siblings, *with_a1)] == [0.36, 0.09, 0.92]

# %% after 03-06
families = {frozenset(["a1", "a2", "a3"]), frozenset(["b1", "b2", "b3"])}
_, events = grow_(list(arrows.values()), list(arrows), 2)
assert [event.moves[0].kind for event in events] == ["sibling", "sibling", "pair", "pair", "sibling", "sibling"]
assert growing.tree().clades() == families
third = events[4]
assert [round(visit.numbers["sibling"], 2) for visit in third.visits[:2]] == [0.67, 1.07]
assert sorted(round(value, 2) for value in third.visits[0].similarities) == [0.41, 0.87]
assert [round(event.gap**2, 3) for event in events] == [0.245] * 5 + [0.127]

# %% after 03-17
assert len(six) == 720 and sum(families <= tree.clades() for tree in six) == 669
assert max(tree.depth for tree in six) == 2

# %% after 03-25
assert max(tree.depth for tree in trees) == 3
assert min(purity["OTD: families"]) == 1 and sum(value == 1 for value in purity["OTD: branches"]) == 31
assert round(min(purity["OTD: branches"]), 2) == 0.94
assert purity["average linkage: families"] == purity["average linkage: branches"] == [1]
others = [branching_directions(planted, (0.8, 0.9), seed=seed) for seed in range(1, 11)]
means = [np.mean([grown(draw, order).purity(branch) for order in range(10)]) for draw in others]
assert min(means) > 0.965
assert min(cosine_linkage(draw, tasks).purity(branch) for draw in others) > 0.955

# %% after 03-27
inner = {
    (depth, xi): [1 + len(grown(vectors, order, depth, xi).clades()) for order in range(6)]
    for depth, xi in ((3, 0.0), (3, 0.4), (3, 0.7), (3, 1.0), (6, 0.7))
}
assert {count for (depth, _), counts in inner.items() if depth == 3 for count in counts} == {9}
assert set(inner[6, 0.7]) == {24, 25}
assert all(abs(value - 1 / 3) < 1e-9 for xi in (0.0, 0.4, 0.7, 1.0, 1.5) for value in found["D = 2"][xi])
assert min(grown(vectors, order, 2).purity(family) for order in range(6)) == 1
assert sum(value == 1 for value in found["D = 2"][2.0]) == 3
assert all(max(row[3.0]) - min(row[3.0]) > 0.3 for row in found.values())
assert all(sum(abs(value - 1 / 6) < 1e-9 for value in row[3.0]) == 5 for row in found.values())  # a bare root

# %% after 03-30
draws = [grown(np.random.default_rng(i).normal(size=(36, 64)), order=i) for i in range(20)]
counts = [1 + len(tree.clades()) for tree in draws]
assert min(counts) == 16 and max(counts) == 21
assert all(tree.purity(branch) < 0.35 for tree in draws)

# %% after 03-33
mean = {name: np.mean(values) for name, values in apart.items()}
assert mean["planted, spread 0.6"] == 0
assert max(apart["planted, spread 0.9"]) < min(apart["planted, spread 0.9, shuffled"])
assert all(0.85 < value < 0.95 for name, value in mean.items() if "shuffled" in name or "random" in name)
assert round(mean["planted, spread 1.6"], 2) == 0.79 and round(mean["planted, spread 1.6, shuffled"], 2) == 0.91
lower = []
for seed in range(3):
    drawn = branching_directions(planted, (0.8, 1.6), seed=seed)
    shuffles = (np.random.default_rng(k).permuted(drawn, axis=0) for k in range(10))
    lower.append(np.mean(disagreement(drawn)) < min(np.mean(disagreement(shuffle)) for shuffle in shuffles))
assert lower == [True, False, False]
long = vectors + np.ones(64) / 2
common, centred = ([grown(each, order) for order in range(10)] for each in (long, long - long.mean(0)))
assert round(common[0].length, 2) == 0.95 and round(np.mean([tree.purity(branch) for tree in common]), 2) == 0.44
assert min(tree.purity(family) for tree in common) == min(tree.purity(branch) for tree in centred) == 1
assert round(np.mean([grown(vectors, order).purity(branch) for order in range(10)]), 2) == 0.98

# %% after 03-15
assert printed.tree().depth == 3 and (both, deep, len(six)) == (144, 408, 720)
