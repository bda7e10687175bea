# %% after 02-31
from minimeta.show import plane
from minimeta.tasks import branching_points


def distances(shots, omega, rate=0.2, draws=8):
    targets, episodes = branching_points(plane.TREE, shots, seed=13)
    return {
        name: [plane.ways(targets, episodes(i), g, 4, rate, omega).distances[-1].mean() for i in range(draws)]
        for name, g in plane.usual_groupings().items()
    }


for shots, omega, rate, tree_is_ahead in (
    (5, (0, 0), 0.2, True), (50, (0, 0), 0.2, False), (5, (3, -3), 0.2, True), (5, (0, 0), 0.4, True)
):  # fmt: skip
    found = distances(shots, omega, rate)
    assert all((a < b) == tree_is_ahead for a, b in zip(found["Fixed TreeMAML"], found["MAML"], strict=True))
middle = distances(5, (-2, 1))
assert sum(middle["Fixed TreeMAML"]) > sum(middle["MAML"])

first = {name: [] for name in plane.usual_groupings()}  # by how many degrees the first step misses
for draw in range(20):
    targets, episodes = branching_points(plane.TREE, 5, seed=13)
    for name, grouping in plane.usual_groupings().items():
        first[name].append(plane.ways(targets, episodes(draw), grouping).angles[0].mean())
shared = [sum(first[name]) / 20 for name in ("Fixed TreeMAML", "Random tree", "Everyone")]
assert min(shared) > sum(first["MAML"]) / 20 + 4 and max(shared) - min(shared) < 1e-6

# %% after 02-06
few, many = ({size: v[0] for size, v in points.items()} for points in agreement.values())
assert few[2] > few[1] + 0.05 and few[2] > few[8] + 0.05
assert many[1] > many[4] + 0.05 and many[1] > many[8] + 0.15

# %% after 02-14
mean = {name: sum(values) / 3 for name, values in best.items()}
assert mean["Fixed TreeMAML"] <= 0.75 * mean["MAML"] and mean["Fixed TreeMAML"] <= 0.75 * mean["Two together"]
assert mean["Two together"] < 0.9 * mean["MAML"] and mean["Fixed TreeMAML"] < 0.7 * mean["Random tree"]

for two, tree_error, chance in zip(best["Two together"], best["Fixed TreeMAML"], best["Random tree"], strict=True):
    assert tree_error < two < chance
singles = [error("Random tree", 0.4, 5, s, s + d) / maml - 1 for s, maml in enumerate(best["MAML"]) for d in (0, 3)]
assert [round(min(singles), 2), round(max(singles), 2)] == [-0.15, 0.06]

# %% after 02-16
mean20 = {name: min(map(sum, values.values())) / 3 for name, values in sweep20.items()}
assert mean20["MAML"] < 0.6 * mean20["Random tree"] and mean20["MAML"] < 0.3 * mean["MAML"]
assert mean20["Fixed TreeMAML"] < mean20["MAML"]
