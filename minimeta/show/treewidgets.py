"""Widgets that show trees: a replay of a tree's growth, and an explorer of the trees over an episode's tasks.

What the mouse does, a test or a notebook can do as well: `replay.step.value = 7`, `explorer.select(3)`. Names, labels
and sentences are data, not markup: they are shown as written.
"""

from __future__ import annotations

import html
import itertools
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import ipywidgets
import numpy as np

from ..errors import InputError, some
from ..grouping import alone, everyone
from ..inner import Learner
from ..linkage import cosine_linkage
from ..nodes import Event, NodeInfo
from ..otd import RULES, XI, OnlineTree, grow
from ..outer import evaluate
from ..tasks import Episode
from ..trees import TaskTree
from .recording import Explorer
from .similarity import gradients, heatmap, mean_similarity, similarities, with_omega
from .style import COLOURS, Plot, button, in_a_row, in_turn, menu, on_change, slider, table
from .treeplots import Stage, dendrogram, growing, side_by_side

Labels = Mapping[str, str]
_LEARNED, _AVERAGE, _RANDOM = "learned (OTD)", "average linkage", "random tree"
_PATIENCE = 0.2  # seconds that a click may take
_PLACES = {
    "sibling": "<b>It joins the children here.</b>",
    "pair": "<b>It makes a pair with this task, below a new node.</b>",
    "wrap": "<b>A new node takes it together with all of this node.</b>",
    "descend": "It goes on to the most similar child.",
    "look": "There is no better place here.",
}
_PRINTED = {  # why, by the paper's rule
    "sibling": "It is neither below the bound nor, with a level to spare, above what it was: ",
    "wrap": "It falls below the bound: ",
    "descend": "It rises: ",
}
_CALLED = {"ω(A)": "The tasks' mean similarity", "ω(A ∪ x)": "with the newcomer", "ω(A) − ξσ": "the bound (ξσ lower)"}
_MOVES = {
    "sibling": "it joins the children of {other}",
    "pair": "it makes a pair with {other}, below {new}",
    "wrap": "it stands together with {other} below {new}",
    "out": "{node} came earlier and is placed anew (square)",
    "dissolve": "{node} is dissolved, its children go to its parent",
    "merge": "the children of {other} go to {node}",
    "split": "some children of {node} go to {new} beside it",
}


class OTDReplay(Explorer):
    """Watch an online tree grow, one task at a time, forwards and backwards, and read why each task went where it did.

    `data[name]` is a data set: vectors (n, d) and the names of the n tasks; `labels[name]` gives each task's label,
    for the colours and for the purity. `depth` and `xi` are where the sliders begin. Order 0 is the order as given;
    the others are drawn from `seed`. It opens on the grown tree, and plays by itself once, when a reader first sees it.
    Raises InputError if a data set cannot be grown or a task has no label.
    """

    recorded: ClassVar = {"data_set": None, "rule": None, "order": range(2), "step": None}
    moves: ClassVar = {"back": ("step", -1), "forward": ("step", 1)}

    def __init__(
        self,
        data: Mapping[str, tuple[Sequence[Any], Sequence[str]]],
        labels: Mapping[str, Labels],
        depth: int = 3,
        xi: float = XI,
        seed: int = 0,
    ) -> None:
        if not data or set(data) - set(labels):
            raise InputError("The replay needs at least one data set, and labels under the name of each data set.")
        self.data, self.labels, self.seed = data, labels, seed
        for name, (vectors, names) in data.items():
            grow(vectors, names, depth, xi)[0].tree().purity(labels[name])
        # A setting that comes back is at hand; the oldest ones make room while a slider is dragged.
        self._run = lru_cache(maxsize=8)(self._grow)
        self.data_set, self.rule = menu("data", list(data)), menu("rule", RULES)
        self.data_set.disabled = len(data) == 1
        self.order, self.step = slider("order", 0, 0, 20), slider("tasks", self.count, 1, self.count)
        self.xi, self.depth = _sliders(depth, xi)
        self.play = ipywidgets.Play(value=self.count, min=1, max=self.count, interval=900, show_repeat=False)
        ipywidgets.link((self.step, "value"), (self.play, "value"))
        self.back, self.forward = (
            ipywidgets.Button(icon=f"step-{way}", tooltip=f"one task {way}", layout={"width": "40px"})
            for way in ("backward", "forward")
        )
        self.back.on_click(in_turn(lambda _: self._move(-1)))
        self.forward.on_click(in_turn(lambda _: self._move(1)))
        self.live, self.words = ipywidgets.HTML(), ipywidgets.HTML(layout={"min_height": "290px"})
        self.plot = Plot(seen=self._play_once)
        self._played, self._shown = False, None
        on_change(self._choose, self.data_set)
        on_change(self.draw, self.rule, self.order, self.xi, self.depth, self.step)
        settings = self.data_set, self.order, self.xi, self.depth, self.rule
        moves = in_a_row(self.play, self.back, self.forward)
        beside = ipywidgets.VBox([moves, self.step, self.live, self.words, *settings], layout={"width": "390px"})
        super().__init__([in_a_row(self.plot, beside)])
        self._choose()

    @property
    def count(self) -> int:
        """How many tasks the chosen data set has."""
        return len(self.data[self.data_set.value][1])

    def state(self, step: int) -> tuple[TaskTree, list[NodeInfo], Event]:
        """The tree after `step` (1, 2, ...) insertions with the settings chosen, its nodes, and the last event."""
        return self._states()[0][step - 1]

    def draw(self) -> None:
        """Show the tree after the chosen number of insertions, and say why it is as it is."""
        step, most = self.step.value, self.depth.value
        tree, nodes, event = self.state(step)
        names = set(self.data[self.data_set.value][1])  # colours follow the order of the labels
        labels = {name: label for name, label in self.labels[self.data_set.value].items() if name in names}
        at = {node.name: i for i, node in enumerate(nodes)}
        notes, title = [f"node {node.id}" for node in nodes], f"The tree after {step} of {self.count} tasks"
        rings = [at[name] for name in (event.name, event.moved) if name]
        figure = growing(tree, [node.id for node in nodes], labels, title, self._states()[1], notes, rings)
        run, self._shown = self._shown, self._settings()
        if run == self._shown:  # nodes move only where they are the same ones
            figure.layout.transition = {"duration": 500, "easing": "cubic-in-out"}
        self.figure = self.plot.show(figure)
        bound = f"</b> of at most D = {most}" if tree.depth <= most else f", above D = {most}</b>"
        self.live.value = (
            f"<div style='line-height:1.5'>purity <b>{tree.purity(labels):.2f}</b> · "
            f"mean similarity of all <b>{nodes[0].omega:.2f}</b> · height <b>{tree.depth}{bound} · "
            f"<b>{len(nodes)}</b> nodes</div>"
        )
        self.words.value = explain(event, self.state(step - 1)[1] if step > 1 else [], self.rule.value)

    def _choose(self) -> None:
        """Another data set: its whole tree."""
        self.step.max = self.play.max = self.count
        if self.step.value != self.count:
            self.step.value = self.count  # which draws
        else:
            self.draw()

    def _move(self, by: int) -> None:
        self.step.value = min(max(self.step.value + by, 1), self.count)

    def _play_once(self) -> None:
        """Play from the first task on, if nobody has touched anything and it has not been played yet."""
        if not self._played and self.step.value == self.count:
            self.play.playing = True
        self._played = True

    def _settings(self) -> tuple:
        return tuple(control.value for control in (self.data_set, self.order, self.depth, self.xi, self.rule))

    def _states(self) -> tuple[list[tuple[TaskTree, list[NodeInfo], Event]], Stage]:
        return self._run(*self._settings())

    def _grow(self, name: str, order: int, depth: int, xi: float, rule: str) -> tuple[list, Stage]:
        """All states of a growth, and the stage that has room for each of them."""
        vectors, names = self.data[name]
        n, tree, states = len(names), OnlineTree(depth, xi, rule), []
        ways = np.random.default_rng((self.seed, order)).permutation(n) if order else np.arange(n)
        for i in ways:
            event = tree.insert(vectors[i], names[i])
            states.append((tree.tree(), tree.nodes(), event))
        last = {leaf: place for place, leaf in enumerate(states[-1][0].leaves)}
        seen = [node for _, nodes, _ in states for node in nodes]
        return states, Stage(last, min(node.omega for node in seen), 1 + max(node.id for node in seen))


def explain(event: Event, before: Sequence[NodeInfo], rule: str) -> str:
    """An insertion in words, as HTML: what was compared at each node, the decision, and the repairs.

    `before` are the tree's nodes before the insertion (`OnlineTree.nodes`); `rule` is the one that decided.
    """
    known = {node.id: node for node in before}

    def call(node: int | None) -> str:
        if node not in known:
            return "the newcomer" if node == event.moves[0].node else f"the new node {node}"
        name, size = known[node].name, known[node].size
        return f"task <b>{html.escape(name)}</b>" if name else f"node {node} ({size} task{'s' * (size > 1)})"

    ours = rule == "corrected"
    worth = f" A level must be worth a difference in similarity of ξσ = {event.gap:.3f}." if ours else ""
    lines = []
    for visit in event.visits if before else ():
        near = sorted(zip(visit.similarities, visit.children, strict=True), reverse=True)
        words = ", ".join(f"{value:.2f} to {call(child)}" for value, child in near[:3])
        words = f"At {call(visit.node)}" + (f", mean similarity {words}" if near else "")
        words += f" and {len(near) - 3} more. " if near[3:] else ". "
        numbers = [
            f"{name} {value:+.3f}" if ours else f"{_CALLED[name]} {value:.3f}" for name, value in visit.numbers.items()
        ]
        if numbers:
            words += ("The score would grow by: " if ours else "") + ", ".join(numbers) + ". "
        lines.append(words + _PRINTED.get(visit.decision, "") * bool(numbers and not ours) + _PLACES[visit.decision])
    mends = []
    for move in event.moves[1:]:
        words = _MOVES[move.kind].format(node=call(move.node), other=call(move.other), new=call(move.new))
        mends.append(words + (f" (score {move.gain:+.3f})" if move.kind != "out" else ""))
    repairs = f"Repairs: {'; '.join(mends)}." if mends else "No repair." * ours
    steps = "".join(f"<li>{line}</li>" for line in lines or ["The first task stands below the root."])
    told = f"<b>{html.escape(event.name)}</b> arrives (ring).{worth}<ol style='margin:0'>{steps}</ol>{repairs}"
    return f"<div style='line-height:1.5'>{told}</div>"


class TreeExplorer(Explorer):
    """The trees over an episode's tasks: choose a node to see its tasks and what a pooled step there does to them.

    A task's vector is the gradient of its support loss at the learner's ω. `labels[kind]` gives each task's label of
    that kind ("language", say); `sentences[task]` are examples to show, with what `translations` has for them;
    `trees[name]` are further trees over the same tasks; the steps shown have the inner rate `rate`; the random tree is
    drawn from `seed`. ω stays as it is. Raises InputError if a task lacks support, query or a label, if a tree has
    other leaves, or if a task's own step runs away.
    """

    recorded: ClassVar = {"shown": None, "colour": None, "node": None}
    clicks: ClassVar = {"plot": "node"}

    def __init__(
        self,
        learner: Learner,
        episode: Episode,
        labels: Mapping[str, Labels],
        sentences: Mapping[str, Sequence[str]] | None = None,
        trees: Mapping[str, TaskTree] | None = None,
        rate: float = 0.02,
        seed: int = 0,
        translations: Mapping[str, str] | None = None,
    ) -> None:
        self.learner, self.episode, self.tasks = learner, episode, episode.tasks
        self.labels, self.sentences, self.trees = labels, sentences or {}, dict(trees or {})
        self.translations = translations or {}
        self.rate, self.seed, self.selected = rate, seed, episode.tasks
        batches, whole = (*episode.support[:1], episode.query), TaskTree.nest("", self.tasks)
        if len(batches) < 2 or {len(v) for batch in batches for v in batch.values()} != {max(len(self.tasks), 2)}:
            raise InputError("The explorer needs an episode of two tasks or more, each with support and query data.")
        names = [_LEARNED, _AVERAGE, *self.trees, _RANDOM]
        if not labels or len(set(names)) < len(names):
            raise InputError("The explorer needs labels of at least one kind, and trees under names of their own.")
        for of in labels.values():
            whole.purity(of)
        for tree in self.trees.values():
            whole.robinson_foulds(tree)
        self.gradients = gradients(learner, episode)
        self.matrix = similarities(self.gradients)
        self._before, self._own = (self._step(self.tasks, steps, pooled=False) for steps in (0, 1))
        start = time.perf_counter()
        self._pooled = {self.tasks: self._step(self.tasks, 1, pooled=True)}
        self._quick = _PATIENCE * len(self.tasks) / (time.perf_counter() - start)  # so many tasks need no button
        self.trees[_AVERAGE] = cosine_linkage(self.gradients, self.tasks)

        self.shown, self.other = menu("tree", names), menu("compare with", names, _AVERAGE)
        self.colour, self.below = menu("colour by", list(labels)), menu("below", ("two trees", "heat map"))
        self.xi, self.depth = _sliders(3, XI)
        self.node = ipywidgets.Dropdown(description="node", layout={"width": "auto"})
        self._filling = False  # whether the menu of nodes changes because the picture does
        self.live, self.details = ipywidgets.HTML(), ipywidgets.HTML()
        self.plot, self.second_plot = Plot(self.select), Plot()
        self.run = button("Take the pooled step", "play", lambda: self._draw_selected(patient=True))
        on_change(self.draw, self.shown, self.other, self.colour, self.below, self.xi, self.depth)
        on_change(lambda: self._filling or self.select(self.node.value), self.node)
        above = in_a_row(self.shown, self.colour), in_a_row(self.xi, self.depth), self.live
        side = ipywidgets.VBox([self.node, self.details, self.run], layout={"flex": "1 1 300px", "min_width": "0"})
        below = in_a_row(self.below, self.other), self.second_plot
        super().__init__([*above, in_a_row(self.plot, side), *below])
        self.draw()

    def prepare(self) -> None:
        """Take every pooled step at once, however long it takes."""
        self._quick = len(self.tasks)

    def tree_of(self, name: str) -> TaskTree:
        """One of the trees, with mean similarity along x; the random tree is the shown one with its leaves permuted."""
        if name == _LEARNED or (name == _RANDOM and self.shown.value == _RANDOM):
            root = grow(self.gradients, self.tasks, self.depth.value, self.xi.value)[0].tree()
        else:
            root = self.tree_of(self.shown.value) if name == _RANDOM else self.trees[name]
        if name == _RANDOM:
            drawn = np.random.default_rng((self.seed, 0, 2)).permutation(root.leaves)
            root = root.rename(dict(zip(root.leaves, drawn.tolist(), strict=True)))
        return with_omega(root, self.matrix, self.tasks)

    def draw(self) -> None:
        """Show the chosen trees; the selection stays with its tasks."""
        self.tree, of = self.tree_of(self.shown.value), self.labels[self.colour.value]
        purity = (f"{html.escape(kind)} <b>{self.tree.purity(of):.2f}</b>" for kind, of in self.labels.items())
        height, nodes = self.tree.depth, list(self.tree.nodes)
        self.live.value = f"height <b>{height}</b> · <b>{len(nodes)}</b> nodes · purity by {', '.join(purity)}"
        two, fixed = self.below.value == "two trees", self.shown.value not in (_LEARNED, _RANDOM)
        self.other.disabled = not two
        self.xi.disabled = self.depth.disabled = fixed and not (two and self.other.value == _LEARNED)
        self.live.value += " · ξ and D are for the learned tree only" * self.xi.disabled
        if two:
            names = self.shown.value, self.other.value
            figure = side_by_side(self.tree, self.tree_of(names[1]), of, names=names)
            # Below the trees, the legend leaves them the whole width.
            figure.update_layout(width=760, legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"})
        else:
            title, lengths = (
                "Similarity of the tasks' gradients, and their length",
                np.linalg.norm(self.gradients, axis=1),
            )
            figure = heatmap(self.tree, self.matrix, self.tasks, title, lengths)
        self.second = self.second_plot.show(figure)
        self._fill([self._call(i, node) for i, node in enumerate(nodes)], 0)
        self._draw_selected()

    def select(self, node: int) -> None:
        """Choose a node by its position in `tree.nodes`: ring it, and show what there is to know of its tasks."""
        nodes = list(self.tree.nodes)
        if not 0 <= node < len(nodes):
            raise InputError(f"The tree has the nodes 0 to {len(nodes) - 1}; there is no node {node}.")
        self.selected = nodes[node].leaves
        self._draw_selected()

    def _draw_selected(self, patient: bool = False) -> None:
        nodes, held = list(self.tree.nodes), set(self.selected)
        # The nodes that hold all these tasks are a path; its last one is the lowest.
        node = max(i for i, found in enumerate(nodes) if held <= set(found.leaves))
        tasks = tuple(sorted(nodes[node].leaves, key=self.tasks.index))
        self._fill(self.node.options, node)
        figure = dendrogram(
            self.tree, self.labels[self.colour.value], "Click a node, or choose it in the menu", rings=[node]
        )
        figure.update_layout(width=520, margin={"l": 10, "r": 5})
        self.figure = self.plot.show(figure)
        now = patient or tasks in self._pooled or len(tasks) <= self._quick
        self.run.layout.display = "none" if now else ""
        ask = "<p>To see what one pooled step does to these tasks, press the button; it takes a while.</p>"
        self.details.value = self._describe(tasks) + (self._table(tasks) if now else ask)

    def _fill(self, options: Sequence[tuple[str, int]], node: int) -> None:
        """Give the menu of nodes its options, and the one that is chosen; this chooses nothing by itself."""
        self._filling = True
        if self.node.options != tuple(options):
            self.node.options = options
        self.node.value, self._filling = node, False

    def _call(self, i: int, node: TaskTree) -> tuple[str, int]:
        """What the menu says of the node at position i, and i."""
        if not node.children:
            return f"{i}: {node.name}", i
        similar = mean_similarity(self.matrix, [self.tasks.index(task) for task in node.leaves])
        return f"{i}: {len(node.leaves)} tasks, similarity {similar:.2f} ({some(node.leaves, 3)})", i

    def _describe(self, tasks: tuple[str, ...]) -> str:
        """The tasks below a node in words and numbers, as HTML."""
        rows = [self.tasks.index(task) for task in tasks]
        chosen = self.gradients[rows]
        similar, lengths = mean_similarity(self.matrix, rows), np.linalg.norm(chosen, axis=1)
        ratio = np.linalg.norm(chosen.mean(0)) / lengths.mean()
        lines = [
            f"<b>{len(tasks)} task{'s' * (len(tasks) > 1)}</b>: {html.escape(some(tasks, 12))}",
            f"agreement of their gradients: mean similarity <b>{similar:.2f}</b> (cosine, all pairs), "
            f"|mean g| / mean |g| = <b>{ratio:.2f}</b>",
            f"length of their gradients: |g| = <b>{_from_to(lengths)}</b>",
        ]
        for kind, label_of in self.labels.items():
            found = [label_of[task] for task in tasks]
            most = max(dict.fromkeys(found), key=found.count)
            share = f"{found.count(most)} of {len(found)} are {html.escape(str(most))}"
            lines.append(f"purity by {html.escape(kind)}: <b>{found.count(most) / len(found):.2f}</b> ({share})")
        # The first sentence of each task, then the second, ...
        turns = itertools.zip_longest(*([(task, s) for s in self.sentences.get(task, ())] for task in tasks))
        for task, sentence in itertools.islice((pair for turn in turns for pair in turn if pair), 3):
            known = self.translations.get(sentence, "")
            same = f"<br>= {html.escape(known)}" if known and known != sentence else ""
            lines.append(f"{html.escape(task)}: <i><bdi>{html.escape(sentence)}</bdi></i>{same}")
        return f"<div style='line-height:1.5'>{'<br>'.join(lines)}</div>"

    def _table(self, tasks: tuple[str, ...]) -> str:
        """Each task's query loss before and after one step, with the node's mean gradient and with its own."""
        heads = {"before": "#999999", "pooled": COLOURS[0], "own": COLOURS[1]}
        try:
            pooled = self._pooled[tasks] = self._pooled[tasks] if tasks in self._pooled else self._step(tasks, 1, True)
        except InputError as error:
            return f"<p>{html.escape(str(error))}</p>"
        rows = [self.tasks.index(task) for task in tasks]
        losses = np.stack([self._before[rows], pooled, self._own[rows]], axis=1)
        head = [
            "query loss",
            *(f"{name} <span aria-hidden='true' style='color:{colour}'>■</span>" for name, colour in heads.items()),
            "",
        ]
        lines = []
        for name, values in [(f"mean of {len(tasks)}", losses.mean(0)), *zip(tasks, losses, strict=True)]:
            bars = "".join(
                f"<div style='height:4px;width:{100 * value / losses.max():.1f}%;background:{colour}'></div>"
                for value, colour in zip(values, heads.values(), strict=True)
            )
            lines.append([html.escape(name), *(f"{value:.3f}" for value in values), bars])
        looks = ("", *("text-align:right;padding:2px 4px",) * len(heads), "width:60px;padding:2px 4px")
        shown = table(head, lines, looks)
        reach = "tabindex='0' role='region' aria-label='query losses'"  # so that the keys can scroll it
        return f"<div {reach} style='max-height:320px;overflow:auto'>{shown}</div>"

    def _step(self, tasks: tuple[str, ...], steps: int, pooled: bool) -> np.ndarray:
        """The mean query loss of each task, (m,), after `steps` inner steps, pooled over all of them or alone."""
        rows = [self.tasks.index(task) for task in tasks]
        batches = self.episode.support[0], self.episode.query
        support, query = ({name: value[rows] for name, value in batch.items()} for batch in batches)
        part, grouping = Episode(tasks, (support,), query), everyone() if pooled else alone()
        (found,) = evaluate(self.learner, [part], grouping, steps, self.rate)
        return found.losses.mean(1).double().cpu().numpy()


def _from_to(values: np.ndarray) -> str:
    """The smallest and the largest of some numbers; just the one, if it is one."""
    return " to ".join(dict.fromkeys(f"{value:.2f}" for value in (values.min(), values.max())))


def _sliders(depth: int, xi: float) -> tuple[ipywidgets.FloatSlider, ipywidgets.IntSlider]:
    """Sliders for ξ and D that begin at these values."""
    return slider("ξ", xi, 0, max(3.0, xi), 0.05), slider("depth D", depth, 1, max(6, depth))
