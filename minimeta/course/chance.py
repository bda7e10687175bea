"""Does all chance come from the generator that is given, and does it choose among everything?

Each function raises `NotYet` at the first fault. A right solution is stopped by none of these counts in ten million
runs: each has a probability below `RARE`, and a check asks for a few hundred.
"""

from __future__ import annotations

from functools import reduce
from itertools import combinations, product
from math import comb, factorial, lgamma, log
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom, hypergeom

from .verdict import Answer

if TYPE_CHECKING:
    import pandas as pd

RARE = 1e-10


def repeats(answer: Answer, drawn: list[np.ndarray], may_agree: bool = False) -> None:
    """Does all chance come from `rng`? The first and the last draw come from generators in the same state."""
    if not np.array_equal(drawn[0], drawn[-1]):
        raise answer.not_yet(
            "two calls with a generator in the same state gave different rows; draw with `rng` alone, not with "
            "np.random, random or a generator of your own"
        )
    if not may_agree and all(np.array_equal(rows, drawn[0]) for rows in drawn):
        raise answer.not_yet("generators in different states gave the same rows; your function does not use `rng`")


def moves(answer: Answer, drawn: np.ndarray) -> None:
    """Do draws from one generator, one after the other, differ?"""
    if (drawn == drawn[0]).all():
        raise answer.not_yet(
            f"{len(drawn)} calls, one after the other with one generator, gave the same rows each time; draw with "
            "`rng` itself, not with a copy of it"
        )


def episodes(answer: Answer, table: pd.DataFrame, codes: tuple[str, str], drawn: list[np.ndarray]) -> None:
    """Has every row its chance in these supports (draws, shots) and queries (draws, queries), and any two to meet?"""
    moves(answer, np.concatenate(drawn, axis=1))
    draws, language, split, label = len(drawn[0]), *(table[name].to_numpy() for name in ("language", "split", "label"))
    all_possible, classes = 1, []
    for kind in np.unique(label):
        pools = [np.flatnonzero((language == code) & (split == "dev") & (label == kind)) for code in codes]
        came = [(rows[:, None, :] == pool[:, None]).any(2) for rows, pool in zip(drawn, pools, strict=True)]
        sizes = [int(part[0].sum()) for part in came]
        classes.append(came)
        for name, part, pool, size in zip(("support", "query"), came, pools, sizes, strict=True):
            _even(answer, part, pool, size / len(pool), f"as {name}", "let chance choose among all dev rows")
            _various(answer, part, comb(len(pool), size), f"sets of {name} rows of class {kind}; let chance choose")
        rest = len(pools[1]) - sizes[0] * (codes[0] == codes[1])
        possible = comb(len(pools[0]), sizes[0]) * comb(rest, sizes[1])
        tied = f"pairs of support and query in class {kind}; draw the two independently"
        _various(answer, np.concatenate(came, axis=1), possible, tied)
        all_possible *= possible
        together = came[0].astype(int).T @ came[1]  # how often two rows came
        if codes[0] != codes[1] and together[linear_sum_assignment(together)].sum() == 0:
            raise answer.not_yet(
                f"in {draws} draws the query in class {kind} kept out of the support's way (without its translations, "
                "say); draw the two independently"
            )
    whole = np.concatenate([np.sort(rows) for rows in drawn], axis=1)
    _various(answer, whole, all_possible, "episodes; draw every class with `rng` itself")
    if len({part.shape for came in classes for part in came}) == 1:
        _alike(answer, classes)


def _alike(answer: Answer, classes: list[list[np.ndarray]]) -> None:
    """Classes with n rows each, by whether these came (draws, n) as support and query: has each place its chance?"""
    for one, other in combinations(range(len(classes)), 2):
        for mine, its in product(classes[one], classes[other]):
            (draws, n), sizes = mine.shape, (int(mine[0].sum()), int(its[0].sum()))
            agree = hypergeom.pmf(np.arange(min(sizes) + 1), n, *sizes)  # in one draw so many places are the same
            seen = int((mine & its).sum())
            if _rare(agree, draws, seen):
                raise answer.not_yet(
                    f"in {draws} draws the classes {one} and {other} had {seen} times a row at the same place (chance "
                    f"gives about {draws * sizes[0] * sizes[1] / n:.0f}); draw each class anew, in an order of its own"
                )
    for name, parts in zip(("support", "query"), zip(*classes, strict=True), strict=True):
        came = np.concatenate(parts)  # one class after the other
        (draws, n), size = came.shape, int(came[0].sum())
        if not 0 < size < n:
            continue
        places = np.array([f"{place + 1} of its class" for place in range(n)])
        _even(answer, came, places, size / n, f"as {name}", "give every row of a class the same chance")
        runs = range(
            1, min(size, n - size) + 1
        )  # the rows that came stand in so many runs, the last row before the first
        chance = np.zeros(size)
        chance[[size - r for r in runs]] = [
            n / r * comb(size - 1, r - 1) * comb(n - size - 1, r - 1) / comb(n, size) for r in runs
        ]
        seen = int((came & np.roll(came, 1, axis=1)).sum())
        if _rare(chance, draws, seen):
            raise answer.not_yet(
                f"in {draws} draws from a class {seen} pairs of neighbours (rows of the class that follow one another) "
                f"came together as {name} (chance gives about {draws * size * (size - 1) / (n - 1):.0f}); any two rows "
                "must be as likely to meet as any others"
            )


def _rare(chance: np.ndarray, draws: int, seen: int) -> bool:
    """Is the sum of so many independent draws from 0, 1, 2, ..., with these chances, too far out?"""
    total = reduce(np.convolve, [chance] * draws)
    return min(total[seen:].sum(), total[: seen + 1].sum()) < RARE


def orders(answer: Answer, rows: np.ndarray, drawn: np.ndarray, size: int, ordered: bool = True) -> None:
    """Has every pass (n,) of the draws (draws, passes, n) a random order of its own, for batches of `size`?

    If the batches are not `ordered` (sets are not), only their rows count.
    """
    draws, passes, n = drawn.shape
    place = (drawn[..., None, :] == rows[:, None]).argmax(-1) // size  # the batch of each row (draws, passes, n)
    given = np.arange(n) // size
    if (place != given).any():
        moves(answer, drawn)
    for number in range(passes):
        if (place[:, number] == given).all():
            raise answer.not_yet(
                f"in pass {number + 1} the rows come in the order in which they are given; take a random order from "
                "`rng` for each pass"
            )
    if (place == place[:, :1]).all():
        raise answer.not_yet(
            "every pass has the same order; draw a new one for each (if you do: an array that is shuffled in "
            "place takes its slices along, so use rng.permutation)"
        )
    met = place[..., None] == place[..., None, :]
    if size > 1 and (met == met[:, :1]).all():
        raise answer.not_yet("the same rows meet in a batch in every pass; shuffle the rows, not the batches")
    for number in range(passes):
        for batch in range(n // size):
            where = f"in batch {batch + 1} of pass {number + 1}"
            _even(answer, place[:, number] == batch, rows, size / n, where, "take a random order for each pass")
        what = f"orders in pass {number + 1}; take a random order for each pass"
        _various(answer, place[:, number], _splits(n, size), what)
    for number in range(1, passes):
        for earlier in range(number if size == 1 else 0):
            order = np.take_along_axis(place[:, number], place[:, earlier].argsort(-1), -1)
            what = f"ways from the order of pass {earlier + 1} to that of pass {number + 1}; draw each anew"
            _various(answer, order, _splits(n, 1), what)
    few = "ways to go through the rows; draw with `rng` itself, not with few seeds"
    _various(answer, place, _splits(n, size) ** passes, few)
    for number, batch in product(range(passes), range(n // size if size > 1 and ordered else 0)):
        part = drawn[:, number, batch * size : (batch + 1) * size]
        for what, value in (("sorted", part), ("as in `rows`", (part[..., None] == rows).argmax(-1))):
            seen, share = int((np.diff(value, axis=1) > 0).all(1).sum()), 1 / factorial(size)
            if binom.sf(seen - 1, draws, share) < RARE:
                raise answer.not_yet(
                    f"in {draws} draws the rows of batch {batch + 1} of pass {number + 1} were {what} {seen} times "
                    f"(chance gives about {draws * share:.0f}); any order is as likely as any other, in a batch too"
                )


def _splits(n: int, size: int) -> int:
    """In so many ways n rows make batches."""
    return 1 if n <= size else comb(n, size) * _splits(n - size, size)


def _even(answer: Answer, came: np.ndarray, rows: np.ndarray, share: float, where: str, advice: str) -> None:
    """Did each of the rows (n,) come in about this share of the draws, by `came` (draws, n), true or false?"""
    draws, counts = len(came), came.sum(0)
    tails = np.minimum(binom.cdf(counts, draws, share), binom.sf(counts - 1, draws, share))
    row = int(tails.argmin())
    if share < 1 and tails[row] < RARE:
        often = {0: "never came", draws: "always came"}.get(int(counts[row]), f"came {counts[row]} times")
        about = f"chance gives about {draws * share:.0f} times"
        raise answer.not_yet(f"in {draws} draws row {rows[row]} {often} {where} ({about}); {advice}")


def _various(answer: Answer, found: np.ndarray, possible: int, what: str) -> None:
    """Are there enough different ones among `found` (draws, ...), when all that are possible are equally likely?"""
    draws, seen = len(found), len({one.tobytes() for one in found})
    # A right answer's draws lie in some set of so many possible ones with at most this probability.
    sets = lgamma(possible + 1) - lgamma(seen + 1) - lgamma(possible - seen + 1)  # the logarithm of their number
    if seen < possible and sets + draws * log(seen / possible) < log(RARE):
        raise answer.not_yet(f"{draws} draws gave only {seen} of {possible} possible {what}")
