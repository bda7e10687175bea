"""Which runs a study is made of: each target left out in turn, each auxiliary on every target, or any other list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ..errors import InputError
from ..text.languages import PHYLOGENY, ordered
from .methods import KINDS, METHODS, Cell, Method, cells, check_kinds, scored_on


@dataclass(frozen=True)
class Run:
    """One training and its tests: a cell, a seed, the target languages to score it on, and in which `KINDS`."""

    cell: Cell
    seed: int
    targets: tuple[str, ...]
    kinds: tuple[str, ...] = tuple(KINDS)

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.cell.name} seed {self.seed}".replace(" ", "-")

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages whose rows it sees, in training or in a test."""
        return tuple(dict.fromkeys((*self.cell.languages, *self.targets)))


def leave_one_out(
    methods: Sequence[str],
    targets: Sequence[str],
    seeds: Iterable[int],
    auxiliaries: Sequence[str] = (),
    known: Sequence[str] = PHYLOGENY.leaves,
) -> list[Run]:
    """Each target left out in turn, all other `auxiliaries`, or `known` languages, auxiliary (TreeMAML, Table 1)."""
    runs = []
    for seed, target in product(seeds, targets):
        rest = [code for code in auxiliaries if code != target]
        if auxiliaries and not rest:
            raise InputError(f"Without {target} there is no auxiliary language left; name more with --aux.")
        runs += [Run(cell, seed, (target,)) for cell in cells(methods, [target], rest, known)]
    return merged(runs)


def transfer(
    methods: Sequence[str],
    auxiliaries: Sequence[str | Sequence[str]],
    targets: Sequence[str],
    seeds: Iterable[int],
    own: Sequence[str] | None = None,
) -> list[Run]:
    """Each auxiliary (or pair) in turn, scored on every target that it may be (XLA-MAML, Table 3 and Figure 2).

    Methods are left out where they do not go: XLA-MAML with en or with a pair, the bi-pair with one language, one that
    follows a tree where a target has no place in it (`own` are the languages in the study's own tree, if it has one).
    """
    runs = []
    for seed in seeds:
        for auxiliary in auxiliaries:
            given = (auxiliary,) if isinstance(auxiliary, str) else tuple(auxiliary)
            others = [code for code in targets if code not in given]
            able = [name for name in methods if name not in METHODS or _goes(METHODS[name], given)]
            foreign = [code for code in others if code != "en"]
            for cell in cells(able, foreign, given, by_genre=False) if able else []:
                runs.append(Run(cell, seed, scored_on(cell, others, own)))
    return merged(run for run in runs if run.targets)


def left_undone(runs: Sequence[Run], methods: Sequence[str], targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The targets that no run of a method is scored on, for each of `methods` that has such."""
    scored = {name: {code for run in runs if run.cell.method == name for code in run.targets} for name in methods}
    undone = {name: tuple(code for code in targets if code not in there) for name, there in scored.items()}
    return {name: codes for name, codes in undone.items() if codes}


def in_own_tree(runs: Iterable[Run]) -> tuple[str, ...]:
    """All languages of the runs that follow a study's own tree; raises InputError if there is no such run."""
    found = {code for run in runs if METHODS[run.cell.method].own_tree for code in run.languages}
    if not found:
        able = [name for name, method in METHODS.items() if method.own_tree]
        raise InputError(
            f"No run is left that follows the tree of --tree; name {' or '.join(able)}, and targets that have a place "
            "in it."
        )
    return ordered(found)


def _goes(method: Method, auxiliaries: Sequence[str]) -> bool:
    """Does a method go with these auxiliaries in a study of transfer?"""
    if method.support and method.support.fixed:
        return len(auxiliaries) == 1 and method.support.fixed not in auxiliaries
    return len(auxiliaries) == 2 or not (method.support and method.support.pair)


def merged(runs: Iterable[Run]) -> list[Run]:
    """One run for each cell and seed, with the targets and the tests of all that were given."""
    found: dict[tuple[Cell, int], Run] = {}
    for each in runs:
        before = found.get((each.cell, each.seed), each)
        targets = ordered(before.targets + each.targets)
        kinds = tuple(kind for kind in KINDS if kind in before.kinds + each.kinds)
        found[each.cell, each.seed] = Run(each.cell, each.seed, targets, kinds)
    return list(found.values())


def of_kinds(runs: Iterable[Run], kinds: Sequence[str] | None) -> list[Run]:
    """The runs with these tests alone (None: all); those that have none of them go."""
    check_kinds(kinds or ())
    kept = tuple(kinds or KINDS)
    return [replace(each, kinds=kept) for each in runs if set(kept) & set(each.cell.kinds)]
