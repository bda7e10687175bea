"""Which structure do the gradients of language x genre tasks follow: language, family or genre?

    python tests/benchmarks/bench_text_tree.py --data DIR --encoder DIR [--rows 30]

Without arguments: mini-NLI and the tiny encoder. For each of 15 languages x 10 genres, the gradient of the head's mean
loss on dev rows (as a sketch), either on rows drawn for each task alone or on the same rows in all languages; then the
online tree (D = 4, three insertion orders) and average linkage, and their dendrogram purity by language, by family
and by genre, beside the purity of the same tree with its leaves permuted (mean of 200, and the largest).
"""

import argparse

import numpy as np
import torch

from minimeta.files import data_directory
from minimeta.linkage import cosine_linkage
from minimeta.otd import grow
from minimeta.sketch import task_gradients
from minimeta.text import corpora, encoders
from minimeta.text.features import Features
from minimeta.text.languages import FAMILIES, XNLI
from minimeta.trees import TaskTree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--encoder", default=str(data_directory() / "tiny-encoder-nli"))
    parser.add_argument("--rows", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = corpora.nli(options.data, splits=("dev",))
    features = encoders.nli(options.encoder).features(corpus)
    table = corpus.select_columns(["language", "genre", "pair"]).to_pandas()
    tasks = [(code, genre) for code in XNLI for genre in sorted(set(table["genre"]))]
    names = ["/".join(task) for task in tasks]
    family = {code: str(FAMILIES.clusters(2)[code]) for code in FAMILIES.leaves}
    branch = {code: str(FAMILIES.clusters(3)[code]) for code in FAMILIES.leaves}
    kinds = {
        "language": {name: task[0] for name, task in zip(names, tasks, strict=True)},
        "branch": {name: branch[task[0]] for name, task in zip(names, tasks, strict=True)},
        "family": {name: family[task[0]] for name, task in zip(names, tasks, strict=True)},
        "genre": {name: task[1] for name, task in zip(names, tasks, strict=True)},
    }
    for shared in (False, True):
        rows = [draw(table, *task, options.rows, shared) for task in tasks]
        vectors = np.concatenate([gradient(features, torch.tensor(part)[None]) for part in rows])
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T
        print(f"\n{options.rows} rows per task, {'the same in all languages' if shared else 'drawn for each task'}")
        for kind, labels in kinds.items():
            label = np.array([labels[name] for name in names])
            same = (label[:, None] == label) & ~np.eye(len(names), dtype=bool)
            other = label[:, None] != label
            print(f"  mean cosine, same {kind}: {cosines[same].mean():.3f}, other: {cosines[other].mean():.3f}")
        orders = [np.random.default_rng(seed).permutation(len(names)) for seed in range(3)]
        trees = {
            f"online, order {i}": grow(vectors[order], [names[j] for j in order], 4)[0].tree()
            for i, order in enumerate(orders)
        }
        trees["average linkage"] = cosine_linkage(vectors, names)
        for title, tree in trees.items():
            found = [f"{kind} {against_chance(tree, labels)}" for kind, labels in kinds.items()]
            print(f"  {title:16} {'; '.join(found)}", flush=True)


def draw(table, language: str, genre: str, count: int, shared: bool) -> np.ndarray:
    """Row numbers of a task: of pairs drawn once for the genre, or once for the task."""
    rows = table.index[(table["language"] == language) & (table["genre"] == genre)].to_numpy()
    rows = rows[np.argsort(table["pair"].to_numpy()[rows], kind="stable")]  # the same order in all languages
    genres = sorted(set(table["genre"]))
    key = (0, genres.index(genre)) if shared else (1, genres.index(genre), list(XNLI).index(language))
    return rows[np.random.default_rng(key).permutation(len(rows))[:count]]


def gradient(features: Features, rows: torch.Tensor) -> np.ndarray:
    learner = features.encoder.learner
    theta = {name: p.detach()[None] for name, p in learner.named_parameters() if p.requires_grad}
    return task_gradients(learner, theta, [0], features[rows])


def against_chance(tree: TaskTree, labels: dict[str, str]) -> str:
    """Purity, and the mean and the largest of 200 permutations of the leaves."""
    leaves, rng = list(tree.leaves), np.random.default_rng(0)
    drawn = [tree.purity(dict(zip(leaves, [labels[leaves[i]] for i in rng.permutation(len(leaves))], strict=True)))
             for _ in range(200)]  # fmt: skip
    return f"{tree.purity(labels):.3f} (chance {np.mean(drawn):.3f}, at most {max(drawn):.3f})"


if __name__ == "__main__":
    main()
