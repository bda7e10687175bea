"""The papers' methods by name: each is one choice of episodes and one choice of grouping for the same loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from ..grouping import Grouping, alone, everyone, fixed_tree, learned_tree, random_tree
from ..memory import Memory
from ..text.languages import FAMILIES, PHYLOGENY, check, ordered
from ..trees import TaskTree


@dataclass(frozen=True)
class Support:
    """Where the support rows of a task come from; its query rows are in its auxiliary language.

    `of(cell)` is the support language of all its tasks, or of each auxiliary language, in their order. `fixed` is the
    language that it always is, if any. With `pair` there are two auxiliaries, and with `of_target` the rows are the
    target's dev rows, so that there is a training for each target.
    """

    name: str
    of: Callable[[Cell], tuple[str, ...]]
    fixed: str = ""
    pair: bool = False
    of_target: bool = False


SAME = Support("same", lambda cell: cell.auxiliaries)
ENGLISH = Support("en", lambda cell: ("en",), fixed="en")
OTHER = Support("other", lambda cell: cell.auxiliaries[::-1], pair=True)
TARGET = Support("target", lambda cell: (cell.target,) if cell.target else (), of_target=True)


def nobody_shares(tree: TaskTree | None, seed: int) -> Grouping:
    """The grouping of all methods that do not pool."""
    return alone()


@dataclass(frozen=True)
class Method:
    """A named recipe, complete: its episodes, its grouping, its rates, and what a gain has to be measured against.

    `rates` are the inner and the outer one at small scale, the best of `data/results/small_rates.csv`, or the name of
    the method whose rates it takes; they were chosen on dev rows in the languages `chosen_on`, which are then no fair
    targets. `support` is None where there are no inner steps in training. Tasks are language x genre, or whole
    languages without `by_genre`. `grouping(tree, seed)` is the grouping, `shares` says it in a word, and languages need
    a place in the `tree`, if there is one (see `own_tree`). `moves` says by the name of a parameter whether inner steps
    move it (see `inner.InnerLoop`): those of a classifier have `classifier.` in their names, those of a span head
    `vectors.`. `controls` are names of methods.
    """

    title: str
    source: str
    rates: tuple[float, float] | str
    support: Support | None = SAME
    by_genre: bool = True
    grouping: Callable[[TaskTree | None, int], Grouping] = nobody_shares
    shares: str = "alone"
    tree: TaskTree | None = None
    moves: Callable[[str], bool] = lambda name: True
    trains: bool = True
    controls: tuple[str, ...] = ()
    chosen_on: tuple[str, ...] = ("ru", "th")

    @property
    def crosses(self) -> bool:
        """Are support and query in different languages? Then the rows of one may be translations of the other's."""
        return self.support not in (None, SAME)

    @property
    def pools(self) -> bool:
        """Do tasks share gradients? Then training tasks take part when a target is tested."""
        return self.grouping is not nobody_shares

    @property
    def own_tree(self) -> bool:
        """Does it follow the tree of a study that brings one, in place of the papers'?"""
        return self.tree is PHYLOGENY

    def placed(self, own: Sequence[str] | None = None) -> Sequence[str] | None:
        """The languages that have a place in its tree, `own` those of a study's; None where it follows no tree."""
        return own if own is not None and self.own_tree else self.tree and self.tree.leaves


def language_of(task: str) -> str:
    """The language of a task: `de` of `de/fiction`."""
    return task.split("/")[0]


_PLAIN = ("baseline", "joint")
_CROSSED = (*_PLAIN, "x-maml")

METHODS: dict[str, Method] = {
    "baseline": Method("Baseline", "no meta-training", (0.02, 1e-4), support=None, trains=False),
    "joint": Method("Joint", "control: as many examples, K = 0", (0.02, 1e-4), support=None, controls=("baseline",)),
    "maml": Method("MAML", "Finn et al. 2017", (0.02, 1e-4), controls=_PLAIN),
    "x-maml": Method("X-MAML", "Nooralahzadeh et al. 2020", (0.005, 1e-4), by_genre=False, controls=_PLAIN),
    "xla-maml": Method(
        "XLA-MAML", "XLA-MAML, Alg. 1", (0.005, 3e-4), support=ENGLISH, by_genre=False, controls=_CROSSED
    ),
    "xla-maml-pair": Method(
        "XLA-MAML bi-pair", "XLA-MAML, sec. 4.3", "xla-maml", support=OTHER, by_genre=False, controls=_CROSSED
    ),
    "xla-maml-few-shot": Method(
        "XLA-MAML few-shot", "XLA-MAML, sec. 4.3", "xla-maml", support=TARGET, by_genre=False, controls=_CROSSED
    ),
    "fixed-treemaml": Method(
        "Fixed TreeMAML",
        "TreeMAML, Alg. 1, Fig. 2",
        (0.02, 1e-4),
        grouping=lambda tree, seed: fixed_tree(tree),
        shares="fixed",
        tree=PHYLOGENY,
        controls=(*_PLAIN, "maml", "random-tree", "everyone"),
    ),
    "halves-treemaml": Method(
        "Fixed, halves first",
        "TreeMAML, Alg. 1, Fig. 1b",
        "fixed-treemaml",
        grouping=lambda tree, seed: fixed_tree(tree, first=2),
        shares="halves",
        tree=PHYLOGENY,
        controls=(*_PLAIN, "maml", "fixed-treemaml", "random-tree", "everyone"),
    ),
    "families-treemaml": Method(
        "Families TreeMAML",
        "TreeMAML, Alg. 1; vi, th, zh apart",
        "fixed-treemaml",
        grouping=lambda tree, seed: fixed_tree(tree),
        shares="families",
        tree=FAMILIES,
        controls=(*_PLAIN, "maml", "fixed-treemaml", "everyone"),
    ),
    "learned-treemaml": Method(
        "Learned TreeMAML",
        "TreeMAML, Alg. 1 and 2",
        (0.08, 1e-4),
        grouping=lambda tree, seed: learned_tree(),
        shares="learned",
        controls=(*_PLAIN, "maml", "fixed-treemaml", "random-tree", "everyone"),
    ),
    "remembering-treemaml": Method(
        "Learned, memory",
        "TreeMAML, Alg. 1 and 2; a tree that remembers",
        (0.02, 3e-4),
        grouping=lambda tree, seed: learned_tree(depth=4, memory=Memory(key=language_of)),
        shares="remembered",
        controls=(*_PLAIN, "maml", "fixed-treemaml", "learned-treemaml", "random-tree", "everyone"),
    ),
    "random-tree": Method(
        "Random tree",
        "control: permuted tree",
        (0.02, 1e-4),
        grouping=lambda tree, seed: random_tree(tree, seed),
        shares="random",
        tree=PHYLOGENY,
        controls=("joint", "everyone"),
    ),
    "everyone": Method(
        "Everyone",
        "control: one cluster",
        (0.005, 1e-4),
        grouping=lambda tree, seed: everyone(),
        shares="everyone",
        controls=("joint", "maml"),
    ),
}


def small_rates(method: str) -> tuple[float, float]:
    """The inner and the outer rate of a method at small scale."""
    rates = METHODS[method].rates
    return small_rates(rates) if isinstance(rates, str) else rates


KINDS = {
    "zero-shot": "no target row before the test",
    "few-shot": "K steps on a few shots of the target's dev rows (TreeMAML)",
    "fine-tuned": "one epoch on all of the target's dev rows (the few-shot test of XLA-MAML)",
}
"""How a trained model is tested on a target."""


def check_kinds(kinds: Iterable[str]) -> None:
    """Raise InputError for a kind of test that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"Unknown kind of test {kind!r}; the kinds are {', '.join(KINDS)}.")


_LONGEST = 120
"""Characters of a file's name for languages: systems allow 255 for all of it, and a file that is written has more."""


@dataclass(frozen=True)
class Cell:
    """One thing to train: a method on auxiliary languages, with tasks by genre or by language.

    `target` is the language whose dev rows are the support (few-shot XLA-MAML). `covering` and `parallel` say how
    rows are drawn (see `episodes.sampler`).
    """

    method: str
    auxiliaries: tuple[str, ...]
    by_genre: bool
    target: str | None = None
    covering: bool = False
    parallel: bool = False

    @property
    def name(self) -> str:
        """A name for files: of languages that it has no room for, the first ones and a hash of them all."""
        target, given = f"to {self.target}" if self.target else "", "+".join(self.auxiliaries) or "none"
        if len(given) > _LONGEST:
            first, more = self.auxiliaries[:6], len(self.auxiliaries) - 6
            given = f"{'+'.join(first)}+{more}-more-{hashlib.sha256(given.encode()).hexdigest()[:10]}"
        parts = (self.method, given, self.tasks, target, self.drawn)
        return " ".join(filter(None, parts))

    @property
    def tasks(self) -> str:
        """What its tasks are, in a word."""
        return "genres" if self.by_genre else "languages"

    @property
    def drawn(self) -> str:
        """How its rows are drawn, in words; "" at random."""
        return " ".join(name for name in ("covering", "parallel") if getattr(self, name))

    @property
    def kinds(self) -> tuple[str, ...]:
        """How it is tested, each paper in its own way: see KINDS."""
        support = METHODS[self.method].support
        if support and support.of_target:
            return ("fine-tuned",)
        return ("zero-shot", "few-shot" if self.by_genre else "fine-tuned")

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages whose rows its training sees."""
        support = METHODS[self.method].support
        return tuple(dict.fromkeys((*self.auxiliaries, *(support.of(self) if support else ()))))


def check_methods(names: Iterable[str]) -> None:
    """Raise InputError for a method that there is not."""
    for name in names:
        if name not in METHODS:
            raise InputError(f"Unknown method {name!r}; the methods are {', '.join(METHODS)}.")


def cells(
    methods: Sequence[str],
    targets: Sequence[str],
    auxiliaries: Sequence[str] = (),
    known: Sequence[str] = PHYLOGENY.leaves,
    by_genre: bool = True,
) -> list[Cell]:
    """What to train for these methods and targets, controls with the same auxiliaries as what they control.

    Without `auxiliaries`, methods with tasks by genre take all `known` languages but the targets (TreeMAML), X-MAML
    and XLA-MAML take hi (the auxiliary of XLA-MAML's Table 3), or de if hi is a target, or the first one there is, and
    the bi-pair takes two of bg, de, hi, fr. Baseline and Joint, which have no support, have a cell for each kind of
    tasks that another method has; where there is no other, `by_genre` says which tasks they take.
    """
    check_methods(methods)
    targets, auxiliaries = check(targets), tuple(dict.fromkeys(check(auxiliaries)))
    both = [code for code in auxiliaries if code in targets]
    if both:
        raise InputError(f"{both[0]} is both a target and an auxiliary language; a target must stay unseen.")

    def taken(method: Method) -> tuple[tuple[str, ...], bool]:
        """The auxiliaries of a method, and whether its tasks are by genre."""
        support = method.support or SAME
        free = tuple(code for code in ordered(known) if code not in (*targets, support.fixed))
        if auxiliaries or method.by_genre:
            return auxiliaries or free, method.by_genre
        first = ("bg", "de", "hi", "fr") if support.pair else ("hi", "de")
        ranked = dict.fromkeys(code for code in (*first, *free) if code in free and code != "en")
        return tuple(ranked)[: 2 if support.pair else 1], False

    given = {name: METHODS[name] for name in dict.fromkeys(methods)}
    plain = replace(METHODS["baseline"], by_genre=by_genre)
    kinds = {taken(method) for method in given.values() if method.support} or {taken(plain)}
    ranked = sorted(kinds, key=lambda kind: (not kind[1], len(kind[0]), kind[0]))  # genres, one auxiliary, two
    found = []
    for name, method in given.items():
        for languages, genres in [taken(method)] if method.support else ranked:
            _check_auxiliaries(method, languages, targets)
            own = targets if method.support and method.support.of_target else [None]
            found += [Cell(name, languages if method.trains else (), genres, target) for target in own]
    return list(dict.fromkeys(found))


def _check_auxiliaries(method: Method, auxiliaries: Sequence[str], targets: Sequence[str]) -> None:
    if method.trains and not auxiliaries:
        raise InputError("No language is left to train on beside the targets; name auxiliary ones with --aux.")
    if method.support and method.support.fixed in (*auxiliaries, *targets):
        fixed = method.support.fixed
        raise InputError(
            f"{method.title} takes its support from {fixed}, so {fixed} can be neither its auxiliary (that would "
            "be X-MAML) nor its target."
        )
    if method.support and method.support.pair and len(auxiliaries) != 2:
        raise InputError(
            f"{method.title} takes two auxiliary languages, each the other's support; there are {len(auxiliaries)}."
        )


def left_out(cell: Cell, cells: Iterable[Cell]) -> str:
    """The language that a cell leaves out, if that is what sets it apart from others of the `cells`; else "".

    That is so where all languages of the phylogeny are its auxiliaries but one, or all that these cells have.
    """
    alike = [set(other.auxiliaries) for other in cells if replace(other, auxiliaries=cell.auxiliaries) == cell]
    for whole in (set(PHYLOGENY.leaves), set().union(*alike)):
        rest = whole - set(cell.auxiliaries)
        if len(whole) > 3 and len(rest) == 1 and whole > set(cell.auxiliaries):
            return rest.pop()
    return ""


def scored_on(cell: Cell, languages: Sequence[str], own: Sequence[str] | None = None) -> tuple[str, ...]:
    """Those of `languages` that the cell may be scored on: unseen in training, and with a place in its tree.

    `own` are the languages in the tree of a study that brings one.
    """
    if cell.target:
        return (cell.target,)
    placed = METHODS[cell.method].placed(own)
    unseen = (code for code in check(languages) if code not in cell.languages)
    return tuple(code for code in unseen if placed is None or code in placed)
