"""Trees that are learned from gradients: how an episode's clusters branch, beside the planted tree and the heat map.

As in all of `show`, the data come first, then the drawing.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch

from ..files import data_directory
from ..grouping import Grouping, alone, fixed_tree, learned_tree
from ..inner import Learner, adapt, squared_error
from ..memory import Memory
from ..otd import XI, grow
from ..outer import evaluate
from ..tasks import Episode, FourierRegression, Sampler, branching_curves, shuffled
from ..trees import TaskTree
from .plane import TREE
from .recording import Explorer
from .similarity import gradients, similarities
from .style import (
    AROUND_ZERO,
    INK,
    Plot,
    button,
    css,
    family_colours,
    in_a_row,
    on_change,
    panels,
    table,
    through_frames,
)

if TYPE_CHECKING:
    import pandas as pd

SHOTS = (5, 10, 20, 30, 40)
"""At these the inner rates of every method were chosen (`benchmark`)."""


def in_the_middle() -> Learner:
    """A learner of curves whose ω is 0, the middle of the branching family: on average its curves cancel."""
    learner = Learner(FourierRegression(), squared_error)
    torch.nn.init.zeros_(learner.module.weights.weight)
    return learner


@dataclass(frozen=True)
class Grown:
    """What an episode knows of its m tasks, in the order of a planted tree's leaves.

    `cosines` (m, m) of what the tree grew from, and `labels` (K, m), the clusters at each inner step.
    """

    tasks: tuple[str, ...]
    cosines: np.ndarray
    labels: np.ndarray

    @property
    def tree(self) -> TaskTree:
        """The tree that the clusters draw."""
        return TaskTree.of_clusters(self.tasks, self.labels)


def in_order(tree: TaskTree, tasks: Sequence[str], cosines: np.ndarray, labels: np.ndarray) -> Grown:
    """The same in the order of the tree's leaves; cosines (m, m) and labels (K, m) are in that of the tasks."""
    order = [list(tasks).index(leaf) for leaf in tree.leaves]
    return Grown(tree.leaves, cosines[np.ix_(order, order)], np.asarray(labels)[:, order])


def grown(
    learner: Learner, episode: Episode, tree: TaskTree, grouping: Grouping, steps: int = 4, rate: float = 0.6
) -> Grown:
    """The cosines of an episode's gradients at ω, and the clusters of its inner steps, by `adapt` itself."""
    with torch.no_grad():
        taken = adapt(learner, episode, grouping, steps, rate).steps
    found = similarities(gradients(learner, episode))
    return in_order(tree, episode.tasks, found, np.array([step.labels for step in taken]))


def remembered(
    learner: Learner, sampler: Sampler, tree: TaskTree, memory: Memory, episodes: int, depth: int = 4, xi: float = XI
) -> list[Grown]:
    """What a memory knows after 1, 2, ..., `episodes` episodes, and the tree that grows from it; ω stays."""
    found = []
    for step in range(episodes):
        episode = sampler(step)
        names, vectors = memory.look(episode.tasks, gradients(learner, episode))
        memory.remember()
        online = grow(vectors, names, depth, xi)[0].tree()
        labels = [[online.clusters(k)[name] for name in names] for k in range(1, depth + 1)]
        found.append(in_order(tree, names, vectors @ vectors.T, np.array(labels)))
    return found


def set_apart(episode: Episode, target: str) -> tuple[Episode, Episode]:
    """The episode without one of its tasks, and with it at the end as a target, whose query alone is scored."""
    place = episode.tasks.index(target)
    others = [i for i in range(len(episode.tasks)) if i != place]

    def part(rows: list[int], query: list[int]) -> Episode:
        tasks = tuple(episode.tasks[i] for i in rows)
        support = tuple({name: value[rows] for name, value in batch.items()} for batch in episode.support)
        return Episode(tasks, support, {name: value[query] for name, value in episode.query.items()})

    return part(others, others), part([*others, place], [place])


def purities(tree: TaskTree, found: TaskTree) -> dict[str, float]:
    """How pure the planted halves and pairs are in a tree that was found (dendrogram purity)."""
    return {name: found.purity(tree.clusters(level)) for name, level in (("halves", 2), ("pairs", 3))}


def shuffled_leaves(tree: TaskTree, draws: int = 300, seed: int = 0) -> dict[str, float]:
    """The mean purities of the tree with its leaves shuffled: what is chance."""
    rng, leaves = np.random.default_rng(seed), tree.leaves
    others = [tree.rename(dict(zip(leaves, rng.permutation(leaves).tolist(), strict=True))) for _ in range(draws)]
    found = [purities(tree, other) for other in others]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def add_chance(figure: go.Figure, tree: TaskTree, level: str) -> go.Figure:
    """A line at the purity that a tree with shuffled leaves has; `level` is "halves" or "pairs"."""
    line = {"dash": "dash", "color": INK, "width": 1}
    chance = shuffled_leaves(tree)[level]
    words = {"annotation_text": f"chance, {level}: {chance:.2f}", "annotation_position": "bottom right"}
    return figure.add_hline(chance, line=line, **words)


def error(learner: Learner, episodes: Sequence[Episode], grouping: Grouping, rate: float, steps: int = 4) -> float:
    """The mean query error after adaptation."""
    return float(np.mean([found.losses.mean() for found in evaluate(learner, episodes, grouping, steps, rate)]))


@lru_cache(maxsize=1)
def benchmark() -> pd.DataFrame:
    """The rows of `tests/benchmarks/bench_learned.py`: each method's error by shots and seed, its rate and ξ."""
    import pandas as pd  # not above: it takes half a second

    return pd.read_csv(data_directory() / "results" / "branching_learned.csv")


def settings(shots: int) -> dict[str, tuple[float, float]]:
    """The inner rate and ξ of each method that the benchmark chose for so many shots."""
    rows = benchmark()
    rows = rows[(rows.shots == shots) & (rows.seed == 0)]
    return {name: (rate, xi) for name, rate, xi in zip(rows.method, rows.inner_rate, rows.xi, strict=True)}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean between the ends of its 95 % interval (Student's t)."""
    from scipy import stats  # not above: it takes a second

    mean = float(np.mean(values))
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return mean - half, mean, mean + half


def ratios(names: Sequence[str], to: str = "Fixed TreeMAML") -> dict[str, dict[int, tuple[float, float, float]]]:
    """Errors as multiples of one method's, paired by seed: low end, mean and high end of the 95 % interval by shots."""
    errors = benchmark().pivot_table("error", ["shots", "seed"], "method", sort=False)
    times = errors.div(errors[to], axis=0)
    return {name: {shots: interval(times.loc[shots, name]) for shots in SHOTS} for name in names}


# Pictures


def bundles(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each task's line runs at ω, after each of K steps, and at its name: (K + 2, m); and its row, (m,).

    `labels` (K, m). Tasks that share a cluster run side by side, and rows are turned towards the order of the tasks.
    """
    tasks = range(labels.shape[1])
    keys = [tuple(np.flatnonzero(_same(labels[: k + 1], i)).mean() for k in range(len(labels))) for i in tasks]
    row = np.empty(len(tasks))
    row[sorted(tasks, key=lambda i: (*keys[i], i))] = tasks
    together = [np.ones(len(tasks), bool)[None].repeat(len(tasks), 0)]
    together += [np.stack([_same(labels[: k + 1], i) for i in tasks]) for k in range(len(labels))]
    centre = np.array([[row[inside].mean() for inside in step] for step in together])
    return np.concatenate([centre + 0.22 * (row - centre), row[None]]), row


def _same(labels: np.ndarray, task: int) -> np.ndarray:
    """Who was in the task's cluster at the last of these steps."""
    return labels[-1] == labels[-1, task]


def picture(tree: TaskTree, found: Grown, title: str, grown_name: str = "learned", most: float = 1.0) -> go.Figure:
    """Cosines in the order of the planted tree, that tree, and the learned one: a line is a task, a bundle a cluster.

    Blue is below 0, orange above; `most` has full colour. A task has the colour of its pair in the planted tree.
    """
    n = len(found.tasks)
    heads = ["cosines of the gradients", "planted", grown_name]
    figure = panels(title, 1, 3, column_widths=[0.42, 0.25, 0.33], horizontal_spacing=0.04, subplot_titles=heads)
    figure.update_layout(height=400, showlegend=False)
    figure.update_layout(margin={"l": 50, "r": 20, "t": 80, "b": 60})
    bar = {"orientation": "h", "len": 0.36, "x": 0.19, "y": -0.06, "yanchor": "top", "thickness": 8}
    scale = {"zmin": -most, "zmax": most, "colorscale": AROUND_ZERO}
    scale |= {"colorbar": bar | {"tickvals": [-most, 0, most]}, "name": "cosines"}
    hover = "%{x} and %{y}<br>cosine %{z:.2f}<extra></extra>"
    z = np.round(found.cosines, 3)
    figure.add_heatmap(z=z, x=found.tasks, y=found.tasks, **scale, hovertemplate=hover, row=1, col=1)
    for level, width in ((3, 1), (2, 2.5)):
        places = tree.clusters(level)
        for i in range(1, n):
            if places[found.tasks[i]] != places[found.tasks[i - 1]]:
                for ends in ({"x0": i - 0.5, "x1": i - 0.5, "y0": -0.5, "y1": n - 0.5},
                             {"y0": i - 0.5, "y1": i - 0.5, "x0": -0.5, "x1": n - 0.5}):  # fmt: skip
                    figure.add_shape(type="line", **ends, line={"color": INK, "width": width}, row=1, col=1)
    planted = np.array([[tree.clusters(k)[task] for task in found.tasks] for k in range(1, len(found.labels) + 1)])
    figure.add_traces(_lines(tree, found.tasks, planted), 1, 2)
    figure.add_traces(_lines(tree, found.tasks, found.labels), 1, 3)
    figure.update_yaxes(range=[n - 0.5, -0.5], showgrid=False, zeroline=False)
    figure.update_xaxes(showticklabels=False, showgrid=False, row=1, col=1)
    last = len(found.labels)
    for column in (2, 3):
        ticks = {"tickvals": list(range(last + 1)), "ticktext": ["ω", *map(str, range(1, last + 1))]}
        figure.update_xaxes(title="inner step", range=[-0.3, last + 2.2], zeroline=False, **ticks, row=1, col=column)
        figure.update_yaxes(visible=False, row=1, col=column)
    return figure


def _lines(tree: TaskTree, tasks: Sequence[str], labels: np.ndarray) -> list[go.Scatter]:
    places, drawn = bundles(labels)[0], []
    x = [*range(len(labels) + 1), len(labels) + 0.8]
    for i, (task, colour) in enumerate(zip(tasks, family_colours(tasks, tree), strict=True)):
        line = {"color": css(colour), "width": 3}
        words = {"text": [""] * (len(x) - 1) + [task], "textposition": "middle right", "textfont_size": 11}
        drawn.append(go.Scatter(x=x, y=np.round(places[:, i], 3), mode="lines+text", line=line, name=task, **words))
    return [each.update(hovertemplate=f"{each.name}<extra></extra>") for each in drawn]


def film(tree: TaskTree, found: Mapping[str, Grown], title: str, prefix: str, most: float = 0.5) -> go.Figure:
    """`picture` with a slider through what was found, and a button that plays it; it opens at the first."""
    figure = picture(tree, next(iter(found.values())), title, "grown from them", most)
    figure.layout.annotations[0].text = "mean cosines, less the mean gradient"
    moving = [0, *range(1 + len(tree.leaves), 1 + 2 * len(tree.leaves))]
    for name, each in found.items():
        drawn = picture(tree, each, "").data
        data = [go.Heatmap(z=drawn[0].z), *(go.Scatter(y=drawn[i].y) for i in moving[1:])]
        figure.frames += (go.Frame(data=data, traces=moving, name=name),)
    through_frames(figure, prefix, 0, hold=700, glide=0, redraw=True, play=True, y=-0.28, yanchor="top")
    return figure.update_layout(height=510, margin_b=170)


# The explorer


class LearnedExplorer(Explorer):
    """How far does a tree from one episode's gradients come? Choose the shots, and draw other curves.

    The tasks are branching curves of `tree`, in a random order, and ω is the middle of the family. Every method has the
    inner rate, and the learned tree the ξ, that the benchmark chose. `figure` shows the last draw; beside it stand the
    purities and the errors of this draw, and their means over all draws with these shots.
    """

    recorded: ClassVar = {"again": 5, "shots": None}

    def __init__(self, tree: TaskTree = TREE, seed: int = 0) -> None:
        self.tree, self.seed, self.learner, self.drawn = tree, seed, in_the_middle(), -1
        self.found: dict[int, list[dict[str, float]]] = {shots: [] for shots in SHOTS}
        self.shots = ipywidgets.SelectionSlider(options=SHOTS, description="shots", layout={"width": "380px"})
        self.again = button("new draw", "refresh", self.draw_again)
        self.plot, self.words = Plot(), ipywidgets.HTML()
        on_change(self.draw, self.shots)
        super().__init__([in_a_row(self.shots, self.again), self.plot, self.words])
        self.draw_again()

    def draw_again(self) -> None:
        """Other curves, and other examples of them."""
        self.drawn += 1
        self.draw()

    def draw(self) -> None:
        """Adapt with every method to the curves drawn last, with the chosen number of shots."""
        shots = self.shots.value
        episode = shuffled(branching_curves(self.tree, shots, seed=self.seed), self.seed)(self.drawn)
        chosen = settings(shots)
        rate, xi = chosen["Learned TreeMAML"]
        groupings = {
            "MAML": alone(),
            "Fixed TreeMAML": fixed_tree(self.tree),
            "Fixed, halves first": fixed_tree(self.tree, first=2),
            "Learned TreeMAML": learned_tree(xi),
        }
        shown = grown(self.learner, episode, self.tree, learned_tree(xi), rate=rate)
        pure = {f"purity, {name}": value for name, value in purities(self.tree, shown.tree).items()}
        errors = {f"error, {name}": error(self.learner, [episode], g, chosen[name][0]) for name, g in groupings.items()}
        self.found[shots].append(pure | errors)
        self.figure = self.plot.show(picture(self.tree, shown, f"{shots} shots, draw {self.drawn + 1}"))
        self.words.value = self._table(self.found[shots])

    def _table(self, found: Sequence[Mapping[str, float]]) -> str:
        mean = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        rows = []
        for name, value in found[-1].items():
            times = f"{mean[name] / mean['error, Fixed TreeMAML']:.2f}" if name.startswith("error") else ""
            rows.append([html.escape(name), f"{value:.2f}", f"{mean[name]:.2f}", times])
        draws = "1 draw" if len(found) == 1 else f"{len(found)} draws"
        head = ["", "this draw", f"mean of {draws}", "times Fixed’s"]
        css = "text-align:left;padding:1px 10px 1px 0", *("text-align:right;padding:1px 10px",) * 3
        return table(head, rows, css)
