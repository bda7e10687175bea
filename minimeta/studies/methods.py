"""The papers' methods by name: each is one choice of episodes and one choice of grouping for the same loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..grouping import Grouping, alone, everyone, fixed_tree, learned_tree, random_tree
from ..text.languages import FAMILIES, LANGUAGES, PHYLOGENY, all_but, check


@dataclass(frozen=True)
class Method:
    """A named recipe: where the support comes from, who shares a gradient, and what a task is.

    `support` is the "same" language as the query, "en", the "other" of two auxiliaries, the "target", or None.
    `pools` is "alone", "everyone", "fixed", "families", "learned" or "random" (see `grouping_for`). `by_genre` tells
    tasks language x genre from tasks that are whole languages. `controls` are the methods that a gain has to be
    measured against.
    """

    title: str
    source: str
    support: str | None = "same"
    pools: str = "alone"
    by_genre: bool = True
    trains: bool = True
    controls: tuple[str, ...] = ()


METHODS: dict[str, Method] = {
    "baseline": Method("Baseline", "no meta-training", support=None, trains=False),
    "joint": Method("Joint", "control: as many examples, K = 0", support=None, controls=("baseline",)),
    "maml": Method("MAML", "Finn et al. 2017", controls=("baseline", "joint")),
    "x-maml": Method("X-MAML", "Nooralahzadeh et al. 2020", by_genre=False, controls=("baseline", "joint")),
    "xla-maml": Method("XLA-MAML", "XLA-MAML, Alg. 1", "en", by_genre=False, controls=("baseline", "joint", "x-maml")),
    "xla-maml-pair": Method(
        "XLA-MAML bi-pair", "XLA-MAML, sec. 4.3", "other", by_genre=False, controls=("baseline", "joint", "x-maml")
    ),
    "xla-maml-few-shot": Method(
        "XLA-MAML few-shot", "XLA-MAML, sec. 4.3", "target", by_genre=False, controls=("baseline", "joint", "x-maml")
    ),
    "fixed-treemaml": Method(
        "Fixed TreeMAML",
        "TreeMAML, Alg. 1, Fig. 2",
        pools="fixed",
        controls=("baseline", "joint", "maml", "random-tree", "everyone"),
    ),
    "families-treemaml": Method(
        "Families TreeMAML",
        "TreeMAML, Alg. 1; vi, th, zh apart",
        pools="families",
        controls=("baseline", "joint", "maml", "fixed-treemaml", "everyone"),
    ),
    "learned-treemaml": Method(
        "Learned TreeMAML",
        "TreeMAML, Alg. 1 and 2",
        pools="learned",
        controls=("baseline", "joint", "maml", "fixed-treemaml", "random-tree", "everyone"),
    ),
    "random-tree": Method("Random tree", "control: permuted tree", pools="random", controls=("joint", "everyone")),
    "everyone": Method("Everyone", "control: one cluster", pools="everyone", controls=("joint", "maml")),
}


KINDS = {
    "zero-shot": "no target row before the test",
    "few-shot": "K steps on a few shots of the target's dev rows (TreeMAML)",
    "fine-tuned": "one epoch on all of the target's dev rows (the few-shot test of XLA-MAML)",
}
"""How a trained model is tested on a target."""


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
        """A short name for files and tables."""
        target = [f"to {self.target}"] if self.target else []
        drawn = [name for name in ("covering", "parallel") if getattr(self, name)]
        kind = "genres" if self.by_genre else "languages"
        return " ".join([self.method, "+".join(self.auxiliaries) or "none", kind, *target, *drawn])

    @property
    def kinds(self) -> tuple[str, ...]:
        """How it is tested, each paper in its own way: see KINDS."""
        if METHODS[self.method].support == "target":
            return ("fine-tuned",)
        return ("zero-shot", "few-shot" if self.by_genre else "fine-tuned")


def cells(methods: Sequence[str], targets: Sequence[str], auxiliaries: Sequence[str] = ()) -> list[Cell]:
    """What to train for these methods and targets, controls with the same auxiliaries as what they control.

    Without `auxiliaries`, methods with tasks by genre take all languages of the phylogeny but the targets
    (TreeMAML), X-MAML and XLA-MAML take hi (the auxiliary of XLA-MAML's Table 3), or de if hi is a target, and the
    bi-pair takes two of bg, de, hi, fr. Baseline and Joint have a cell for each kind of tasks that another method has.
    """
    for name in methods:
        if name not in METHODS:
            raise InputError(f"Unknown method {name!r}; the methods are {', '.join(METHODS)}.")
    targets, auxiliaries = check(targets), check(auxiliaries)
    both = [code for code in auxiliaries if code in targets]
    if both:
        raise InputError(f"{both[0]} is both a target and an auxiliary language; a target must stay unseen.")
    auxiliaries = tuple(dict.fromkeys(auxiliaries))
    by_genre = auxiliaries or all_but(*targets)
    one = auxiliaries or tuple(code for code in ("hi", "de", *all_but("en")) if code not in targets)[:1]
    two = auxiliaries or tuple(code for code in ("bg", "de", "hi", "fr", *all_but("en")) if code not in targets)[:2]
    named = [name for name in dict.fromkeys(methods) if name not in _EACH_KIND]
    pairs = any(METHODS[name].support == "other" for name in named)
    lone = any(not METHODS[name].by_genre and METHODS[name].support != "other" for name in named)
    kinds = [(by_genre, True)] if not named or any(METHODS[name].by_genre for name in named) else []
    kinds += ([(one, False)] if lone else []) + ([(two, False)] if pairs and (two != one or not lone) else [])
    found = []
    for name in dict.fromkeys(methods):
        method = METHODS[name]
        if name in _EACH_KIND:
            each = kinds
        else:
            each = [(by_genre if method.by_genre else two if method.support == "other" else one, method.by_genre)]
        for languages, genres in each:
            _check_auxiliaries(method, languages, targets)
            given = languages if method.trains else ()
            supports = dict.fromkeys(targets) if method.support == "target" else [None]
            found += [Cell(name, given, genres, target) for target in supports]
    return list(dict.fromkeys(found))


_EACH_KIND = ("baseline", "joint")


def _check_auxiliaries(method: Method, auxiliaries: Sequence[str], targets: Sequence[str]) -> None:
    if method.trains and not auxiliaries:
        raise InputError("No language is left to train on beside the targets; name auxiliary ones with --aux.")
    if method.support == "en" and "en" in (*auxiliaries, *targets):
        raise InputError(
            f"{method.title} takes its support from en, so en can be neither its auxiliary (that would "
            "be X-MAML) nor its target."
        )
    if method.support == "other" and len(auxiliaries) != 2:
        raise InputError(
            f"{method.title} takes two auxiliary languages, each the other's support; there are {len(auxiliaries)}."
        )


def scored_on(cell: Cell, languages: Sequence[str]) -> tuple[str, ...]:
    """Those of `languages` that the cell may be scored on: unseen in training, and with a place in its tree."""
    method = METHODS[cell.method]
    if cell.target:
        return (cell.target,)
    seen = cell.auxiliaries + (("en",) if method.support == "en" else ())
    places = PHYLOGENY.leaves if method.pools in ("fixed", "random") else tuple(LANGUAGES)
    return tuple(code for code in check(languages) if code not in seen and code in places)


def grouping_for(method: str, seed: int) -> Grouping:
    """The grouping of a method; a random tree is a new draw for each seed."""
    return {
        "alone": alone,
        "everyone": everyone,
        "fixed": lambda: fixed_tree(PHYLOGENY),
        "families": lambda: fixed_tree(FAMILIES),
        "learned": learned_tree,
        "random": lambda: random_tree(PHYLOGENY, seed),
    }[METHODS[method].pools]()
