"""Who keeps a language company: the tree, and who shares a target's gradient at each inner step along it.

What the mouse does, a test or a notebook can do as well: `explorer.step.value = 3`, `explorer.select(node)`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import ClassVar

import ipywidgets
import numpy as np
import plotly.graph_objects as go

from ..errors import InputError, some
from ..text.languages import PHYLOGENY
from ..trees import TaskTree
from .recording import Explorer
from .style import (
    COLOURS,
    FAINT,
    INK,
    LEGEND_ABOVE,
    Plot,
    blank,
    in_a_row,
    language_menu,
    language_name,
    menu,
    on_change,
    plain,
    slider,
    table,
)
from .treeplots import dendrogram_data

LIT, TARGET, DARK = COLOURS[0], COLOURS[1], INK


def company(tree: TaskTree, target: str, step: int) -> list[str]:
    """The leaves that share the target's gradient at inner step `step` (1, 2, ...), without itself."""
    if target not in tree.leaves:
        raise InputError(f"The tree has no leaf {target!r}; its leaves are {some(tree.leaves, 15)}.")
    clusters = tree.clusters(step)
    return [leaf for leaf in tree.leaves if clusters[leaf] == clusters[target] and leaf != target]


def company_tree(tree: TaskTree, target: str, step: int, title: str = "", steps: int = 4) -> go.Figure:
    """The tree from the root (step 1) to the leaves, with the target's company at inner step `step` of `steps` lit.

    The leaves are codes of languages. The thick line is the target's way so far: all that it passes, it has walked
    together with its company of that step. `customdata` of a leaf is its place in `TaskTree.leaves`.
    """
    together = set(company(tree, target, step))
    data, last = dendrogram_data(tree), max(steps, tree.depth + 1)
    depth = np.ones(len(data.names))
    for i, parent in enumerate(data.parents[1:], 1):
        depth[i] = depth[parent] + 1
    figure = blank(title, height=85 + 27 * len(data.leaves))
    figure.update_layout(
        width=510, legend=LEGEND_ABOVE | {"itemwidth": 30}, margin={"l": 15, "r": 5, "t": 75 if title else 40, "b": 30}
    )
    figure.add_vrect(step - 0.12, step + 0.12, fillcolor=INK, opacity=0.2, line_width=0)

    place = {leaf: i for leaf, i in zip(tree.leaves, data.leaves, strict=True)}
    way = tree.paths()[target]
    lit = {i for leaf in (target, *together) for i in tree.paths()[leaf] if depth[i] > step}
    for name, nodes, line in (
        ("", [i for i in range(1, len(depth)) if i not in lit and i not in way[:step]], {"color": FAINT, "width": 1.5}),
        ("", sorted(lit), {"color": LIT, "width": 2}),
        ("its way so far", way[1:step], {"color": TARGET, "width": 6}),
    ):
        x, y = [], []
        for i in nodes:
            above = data.parents[i]
            x += [depth[above], depth[above], depth[i], None]
            y += [data.y[above], data.y[i], data.y[i], None]
        figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False, name=name)
    inner = [i for i in data.inner if data.names[i]]
    figure.add_scatter(
        x=depth[inner], y=data.y[inner], mode="text", text=[f" {plain(data.names[i])}" for i in inner],
        textposition="top right", textfont={"size": 11}, hoverinfo="skip", showlegend=False, name="branches",
    )  # fmt: skip
    others = [leaf for leaf in tree.leaves if leaf not in together and leaf != target]
    looks = {
        "the target": ([target], {"color": TARGET, "symbol": "star", "size": 15}, "<b>{}</b>"),
        "shares its gradient": (sorted(together), {"color": LIT, "symbol": "circle", "size": 11}, "<b>{}</b>"),
        "does not": (others, {"color": DARK, "symbol": "circle-open", "size": 9}, "{}"),
    }
    for name, (leaves, marker, form) in looks.items():
        spots = [place[leaf] for leaf in leaves]
        figure.add_scatter(
            x=depth[spots], y=data.y[spots], mode="markers+text", marker=marker, name=name, textposition="middle right",
            text=[form.format(f" {plain(language_name(leaf))} ({plain(leaf)})") for leaf in leaves], cliponaxis=False,
            textfont={"color": DARK} if name == "does not" else {}, hoverinfo="text",
            customdata=[tree.leaves.index(leaf) for leaf in leaves],
        )  # fmt: skip
    ticks = {"tickvals": list(range(1, last + 1)), "ticktext": [f"step {k}" for k in range(1, last + 1)]}
    figure.update_xaxes(range=[0.8, last + 1.25], showgrid=False, zeroline=False, **ticks)
    return figure.update_yaxes(visible=False, range=[0.6 - len(data.leaves), 0.8])


class CompanyExplorer(Explorer):
    """Choose a target, or click one, and go down the tree step by step: who shares its gradient at each inner step.

    `trees` are to choose from, by name, their leaves codes of languages; without them, the paper's. Beside the tree
    stands the company of all `steps`. Raises InputError if there is no tree.
    """

    recorded: ClassVar = {"tree": None, "target": None, "step": None}
    clicks: ClassVar = {"plot": "target"}

    def __init__(self, trees: Mapping[str, TaskTree] | None = None, target: str = "de", steps: int = 4) -> None:
        self.trees = {"the paper's": PHYLOGENY} if trees is None else dict(trees)
        if not self.trees:
            raise InputError("There is no tree to show; give one.")
        self.tree = menu("tree", list(self.trees))
        leaves = self.shown.leaves
        self.target = language_menu("target", leaves, target if target in leaves else leaves[0])
        self.step = slider("inner step", 1, 1, steps)
        self.play = ipywidgets.Play(value=1, min=1, max=steps, interval=1200)
        ipywidgets.link((self.step, "value"), (self.play, "value"))
        self.tree.disabled = len(self.trees) == 1
        self.plot, self.words = Plot(self.select), ipywidgets.HTML()
        self._choosing = False
        on_change(self._choose, self.tree)
        on_change(self._follow, self.target, self.step)
        controls = in_a_row(self.tree, self.target), in_a_row(self.step, self.play)
        super().__init__([*controls, in_a_row(self.plot, self.words)])
        self.draw()

    @property
    def shown(self) -> TaskTree:
        """The chosen tree."""
        return self.trees[self.tree.value]

    def select(self, leaf: int) -> None:
        """Make the leaf at this place of the tree's leaves the target."""
        leaves = self.shown.leaves
        if not 0 <= leaf < len(leaves):
            raise InputError(f"The tree has the leaves 0 to {len(leaves) - 1}; there is no leaf {leaf}.")
        self.target.value = leaves[leaf]

    def draw(self) -> None:
        """Light the target's company at the chosen step, and write that of all steps beside it."""
        tree, target, step = self.shown, self.target.value, self.step.value
        self.figure = self.plot.show(company_tree(tree, target, step, steps=self.step.max))
        lines = []
        for k in range(1, self.step.max + 1):
            others = company(tree, target, k)
            said = " ".join(map(html.escape, others)) or "nobody"
            line = [f"{'▸ ' if k == step else ''}step {k}", str(len(others)), said]
            lines.append([f"<b>{cell}</b>" for cell in line] if k == step else line)
        left, right = "text-align:left;padding:3px 10px 3px 0;vertical-align:top", "text-align:right;padding:3px 10px"
        shown = table(["", "", "with"], lines, (left, right + ";vertical-align:top", left + ";max-width:165px"))
        name = html.escape(language_name(target))
        self.words.value = f"<p><b>{name}</b> takes its inner steps</p>{shown}<p>Click a language to follow it.</p>"

    def _choose(self) -> None:
        """Another tree: the target stays if it is there."""
        leaves, target = self.shown.leaves, self.target.value
        chosen = target if target in leaves else leaves[0]
        self._choosing = True  # new options have a value of their own, for a moment
        self.target.options = language_menu("", leaves, chosen).options
        self.target.value = chosen
        self._choosing = False
        self.draw()

    def _follow(self) -> None:
        if not self._choosing:
            self.draw()
