# %% after 05-31
from dataclasses import replace

english = np.array([task.startswith("en/") for task in episode.tasks])
assert lengths[english].max() < 0.15 and (lengths > 2).mean() > 0.5
assert 0.5 < np.linalg.norm(gradients.mean(0)) / lengths.mean() < 0.7
assert -0.5 < cosines[english][:, ~english].mean() < -0.3

# %% after cell-10
first = next(child.leaves for child in explorer.tree.children if "en/travel" in child.leaves)
rest = [i for i, task in enumerate(episode.tasks) if task not in first]
solved = [i for i, task in enumerate(episode.tasks) if task in first]
assert {"en/fiction", "en/telephone", "en/travel"} < set(first) and len(first) < 12
assert np.mean([before[i] for i in solved]) < 0.3 and np.mean([before[i] for i in rest]) > 1.2
pooled = explorer._pooled[episode.tasks]
assert explorer._own.mean() < pooled.mean() < explorer._before.mean()
assert 20 <= (explorer._own < pooled).sum() <= 34

parts_first = sorted(len(child.leaves) for child in explorer.tree.children)
assert parts_first == [1, 7, 28]
assert sum(labels["loss"][task] == "low" for task in first) == 6 == list(labels["loss"].values()).count("low") / 2


def row_lengths(task):
    """How long the gradient of each support row of a task is, alone."""
    i, found = episode.tasks.index(task), []
    for row in range(24):
        one = {name: values[i : i + 1, row : row + 1] for name, values in episode.support[0].items()}
        alone_in_it = replace(episode, tasks=(task,), support=(one,), query=one)
        found.append(np.linalg.norm(similarity.gradients(learner, alone_in_it)))
    return sorted(found)


for task, longest in (("el/telephone", 171), ("el/fiction", 148)):
    *others, last = row_lengths(task)
    assert 0.7 < last / longest < 1.3 and others[-1] < 40 and np.median(others) < 1

# %% after cell-15
for kind in ("language", "loss"):
    assert min(purities[f"{kind}: learned"]) > max(purities[f"{kind}: shuffled"])
assert abs(np.mean(purities["genre: learned"]) - np.mean(purities["genre: shuffled"])) < 0.03
assert max(purities["language: learned"]) < 0.4

# %% after cell-18
grown = explorer.tree_of("learned (OTD)")
top, below = sorted((child for child in grown.children if len(child.leaves) > 1), key=lambda child: len(child.leaves))
assert [labels["loss"][task] for task in top.leaves].count("low") == 6 and len(top.leaves) == 7
losses_of = {len(child.leaves): {labels["loss"][task] for task in child.leaves} for child in below.children}
assert losses_of[3] == {"low"} and "low" not in losses_of[11]

# %% after cell-23
own_of = {code: [i for i, task in enumerate(episode.tasks) if task.startswith(code)] for code in codes}
by_language = np.mean([np.linalg.norm(gradients[own].mean(0)) for own in own_of.values()])
lots = np.random.default_rng(0).permuted(np.tile(np.arange(36), (20, 1)), axis=1).reshape(20, 12, 3)
by_lot = np.linalg.norm(gradients[lots].mean(2), axis=-1).mean(1)
assert 2.1 < by_language < 2.4 and 1.85 < by_lot.min() < by_lot.max() < by_language - 0.05
means = {
    shots: {name: {rate: np.mean(found) for rate, found in rates.items()} for name, rates in each.items()}
    for shots, each in losses.items()
}
assert all(means[shots]["Language"][0.2] < means[shots]["Random threes"][0.2] for shots in (3, 24))
assert means[3]["Everyone"][0.4] < means[3]["Language"][0.2] < means[3]["Own step"][0.1]
assert min(means[3]["Own step"], key=means[3]["Own step"].get) == 0.1
assert means[24]["Random threes"][0.4] < means[24]["Language"][0.4]

# %% after 05-33


def contrast(matrix, words):
    same, others = words[:, None] == words, ~np.eye(len(words), dtype=bool)
    return matrix[same & others].mean() - matrix[~same].mean()


for kind, keep, is_there in (
    ("language", ("low", "middle", "high"), True), ("loss", ("low", "middle", "high"), True),
    ("genre", ("low", "middle", "high"), False), ("language", ("middle", "high"), True),
    ("genre", ("middle", "high"), False),
):  # fmt: skip
    kept = [i for i, task in enumerate(episode.tasks) if labels["loss"][task] in keep]
    words = np.array([labels[kind][episode.tasks[i]] for i in kept])
    part, rng = cosines[np.ix_(kept, kept)], np.random.default_rng(0)
    chance = max(contrast(part, rng.permutation(words)) for _ in range(500))
    assert (contrast(part, words) > chance) == is_there
