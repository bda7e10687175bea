"""Does all chance come from the generator that is given, and does it choose among everything?

Each function raises `NotYet` at the first fault. A right solution is stopped by none of these counts in ten million
runs: each has a probability below `RARE`, and a check asks for a few hundred.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import comb, factorial

import numpy as np
from numpy.random import Generator
from scipy.stats import binom, chi2, hypergeom

from .row_faults import CLASSES, rows_in
from .verdict import Answer

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


def episodes(answer: Answer, table: Mapping[str, np.ndarray], codes: tuple[str, str], drawn: list[np.ndarray]) -> None:
    """Has every row its chance in these supports (draws, shots) and queries (draws, queries), and any two to meet?

    In each class the support is a random part of its pool; the query is one of the rows that are then left, whichever
    these are. So we ask of six parts whether each place has the same chance, and any two of them are independent.
    """
    moves(answer, np.concatenate(drawn, axis=1))
    possible, found = 1, {"support": [], "query": []}
    for kind in range(CLASSES):
        pools = [rows[table["label"][rows] == kind] for rows in (rows_in(table, code) for code in codes)]
        came = [np.array([np.isin(pool, rows) for rows in part]) for pool, part in zip(pools, drawn, strict=True)]
        for name, part, pool in zip(found, came, pools, strict=True):
            _even(answer, part, pool, name)
        names = [[f"row {row} ({table['language'][row]}, {table['pair'][row]})" for row in pool] for pool in pools]
        if codes[0] == codes[1]:
            came[1] = came[1][~came[0]].reshape(len(came[1]), -1)
            names[1] = [f"number {place + 1} of the rows left for the query" for place in range(came[1].shape[1])]
        for name, *part in zip(found, came, names, strict=True):
            found[name].append(part)
            possible *= comb(part[0].shape[1], part[0][0].sum())
    whole = np.concatenate([np.sort(rows) for rows in drawn], axis=1)
    kinds = [(whole, possible, "episodes; draw every class with `rng` itself")]
    for name, parts in found.items():
        for kind, (came, _) in enumerate(parts):
            ways = comb(came.shape[1], came[0].sum())
            kinds.append((came, ways, f"sets of {name} rows of class {kind}; let chance choose"))
    for one in sorted(kinds, key=lambda one: _different(one[0])):  # where there are fewest is the fault
        _various(answer, *one)
    for name, parts in found.items():
        _alike(answer, [came for came, _ in parts], name)
    if codes[0] != codes[1]:
        seen = sum(len(np.intersect1d(*both)) for both in zip(*(table["pair"][part] for part in drawn), strict=True))
        parts = zip(*([came for came, _ in part] for part in found.values()), strict=True)
        chance = [hypergeom(came.shape[1], came[0].sum(), asked[0].sum()) for came, asked in parts] * len(whole)
        what = f"query rows were translations of support rows in {len(whole)} draws"
        _expected(answer, seen, chance, what, "draw the two independently")
    for one, other in combinations([*found["support"], *found["query"]], 2):
        _independent(answer, one, other)


def _even(answer: Answer, came: np.ndarray, rows: np.ndarray, name: str) -> None:
    """Did each of the rows (n,) come about as often as the others, by `came` (draws, n), true or false?"""
    draws, counts, share = len(came), came.sum(0), came[0].mean()
    tails = np.minimum(binom.cdf(counts, draws, share), binom.sf(counts - 1, draws, share))
    row = int(tails.argmin())
    if tails[row] < RARE:
        often = {0: "never came", draws: "always came"}.get(int(counts[row]), f"came {counts[row]} times")
        about = f"chance gives about {draws * share:.0f} times"
        advice = "let chance choose among all dev rows"
        raise answer.not_yet(f"in {draws} draws row {rows[row]} {often} as {name} ({about}); {advice}")


def _different(found: np.ndarray) -> int:
    return len({one.tobytes() for one in found})


def _various(answer: Answer, found: np.ndarray, possible: int, what: str) -> None:
    """Are there enough different ones among `found` (draws, ...), when all that are possible are equally likely?"""
    draws, seen = len(found), _different(found)
    # If there are never more than `seen`, each draw is one that came before with at most the probability seen/possible.
    if seen < min(draws, possible) and binom.sf(draws - seen - 1, draws, seen / possible) < RARE:
        raise answer.not_yet(f"{draws} draws gave only {seen} of {possible} possible {what}")


def _unlikely(far: np.ndarray, free: int) -> bool:
    """Are these counts, as distances from the mean in standard deviations, too far out for chance?

    They have `free` degrees of freedom, all directions alike. The sum of their squares has a chi square distribution
    only nearly, so we ask for a thousandth of what is rare.
    """
    return bool(chi2.sf((far**2).mean() * free, free) < RARE / 1000)


def _independent(answer: Answer, one: list, other: list) -> None:
    """Of two parts, by what came (draws, n) and (draws, m) and the names of the columns: does one tell the other?"""
    (mine, my_names), (its, its_names) = one, other
    draws, share, its_share = len(mine), mine[0].mean(), its[0].mean()
    spread = np.sqrt(draws * share * (1 - share) * its_share * (1 - its_share))
    far = (mine - share).T @ (its - its_share) / spread
    if _unlikely(far, (len(my_names) - 1) * (len(its_names) - 1)):
        i, j = np.unravel_index(np.abs(far).argmax(), far.shape)
        raise answer.not_yet(
            f"in {draws} draws {my_names[i]} and {its_names[j]} came together {int((mine[:, i] & its[:, j]).sum())} "
            f"times (chance gives about {draws * share * its_share:.0f}); draw support and query, and each class, "
            "independently of the others"
        )


def _alike(answer: Answer, parts: list[np.ndarray], name: str) -> None:
    """Has each place in its class the same chance to come (draws, n), and each two neighbours to come together?"""
    came = np.concatenate([part[:, : min(part.shape[1] for part in parts)] for part in parts])
    mean, share, where = came.sum(0).mean(), came.mean(), f"in {len(parts[0])} draws from {len(parts)} classes"
    far = (came.sum(0) - mean) / np.sqrt(mean * (1 - share))
    if _unlikely(far, len(far) - 1):
        place = int(np.abs(far).argmax())
        raise answer.not_yet(
            f"{where} row {place + 1} of its class came {came[:, place].sum()} times as {name} (chance gives about "
            f"{mean:.0f}); give every row of a class the same chance"
        )
    # The rows that came stand in so many runs, where the first row follows the last: the fewer, the more neighbours.
    sizes = [(part.shape[1], int(part[0].sum())) for part in parts]
    if all(size == 1 for _, size in sizes):
        return
    runs = [hypergeom(n - 1, size, n - size) for n, size in sizes] * len(parts[0])
    seen = sum(int((part & ~np.roll(part, 1, axis=1)).sum()) for part in parts)
    what = f"runs of neighbours (rows of a class that follow one another) came as {name} {where}"
    _expected(answer, seen, runs, what, "any two rows must be as likely to meet as any others")


def _expected(answer: Answer, seen: int, chance: list, what: str, advice: str) -> None:
    """Is this about the sum of independent draws from these distributions?"""
    mean, variance = (sum(moments) for moments in zip(*(one.stats("mv") for one in chance), strict=True))
    if variance and _unlikely((seen - mean) / np.sqrt(np.array([variance])), 1):
        raise answer.not_yet(f"{seen} {what} (chance gives about {mean:.0f}); {advice}")


def orders(answer: Answer, rows: np.ndarray, drawn: np.ndarray, size: int, rng: Generator) -> None:
    """Has every pass (n,) of the draws (draws, passes, n) a random order of its own, for batches of `size`?

    Of many draws each pass is looked at for itself, of few draws with many passes all are. How the rows of a batch
    stand is free (it may be a set, or sorted), so they are shuffled with `rng` before orders are counted.
    """
    passes, n = drawn.shape[1:]
    place = _places(drawn, rows)
    batch, given = place // size, np.arange(n) // size
    if (batch != given).any():
        moves(answer, drawn)
    for name, part in _by_pass(place).items():
        if (part // size == given).all() and size < n:
            raise answer.not_yet(
                f"in {name} the rows come in the order in which they are given; take a random order from `rng` for "
                "each pass"
            )
    if (place == place[:, :1]).all():
        raise answer.not_yet(
            "every pass has the same order; draw a new one for each (if you do: an array that is shuffled in "
            "place takes its slices along, so use rng.permutation)"
        )
    met = batch[..., None] == batch[..., None, :]
    if 1 < size < n and (met == met[:, :1]).all():
        raise answer.not_yet(
            "the same rows meet in a batch in every pass; draw a new order for each: shuffle the rows, not the batches"
        )
    blocks = np.split(drawn, range(size, n, size), axis=-1)
    free = _places(np.concatenate([rng.permuted(block, axis=-1) for block in blocks], axis=-1), rows)
    for name, part in _by_pass(free).items():
        _any_order(answer, part, np.arange(n), "what stands as number {} in `rows`", name, size)
    before = free[:, :-1].argsort(-1)
    after = np.take_along_axis(free[:, 1:], before, -1).reshape(-1, n)
    what = "a row of batch {} of a pass" if size > 1 else "the row that was number {} of a pass"
    _any_order(answer, after, given, what, "the next pass", size)
    few = "ways to go through the rows; draw with `rng` itself, not with few seeds"
    _various(answer, place, factorial(n) ** passes, few)


def _places(drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The place of each row in its pass, both (draws, passes, n)."""
    return (drawn[..., None, :] == rows[:, None]).argmax(-1)


def _by_pass(place: np.ndarray) -> dict[str, np.ndarray]:
    """The places (draws, passes, n) of each pass apart, or, if draws are few, of all passes together."""
    draws, passes, n = place.shape
    if draws < passes:
        return {"its pass": place.reshape(-1, n)}
    return {f"pass {number + 1}": place[:, number] for number in range(passes)}


def _any_order(answer: Answer, place: np.ndarray, groups: np.ndarray, what: str, where: str, size: int) -> None:
    """Are all orders of n things equally likely? Of each thing there is the place (draws, n) where it came.

    Of batches with several rows only the number of the batch is told, for places are the student's no longer; `groups`
    (n,) has the number by which a thing is called.
    """
    draws, n = place.shape
    steps = (place[:, 1:] - place[:, :1]) % n - 1  # so far after the first thing came the others: again any order
    further = f"came {{}} further on than {what.format(1)} in"
    for order, first, came in ((place, 1, "came as number {} of"), (steps, 2, further)):
        counts = np.array([(order == number).sum(0) for number in range(order.shape[1])]).T
        share = 1 / len(counts)
        far = (counts - draws * share) / np.sqrt(draws * share * (1 - share))
        if _unlikely(far, (len(counts) - 1) ** 2):
            if size > 1:
                shown, about = _by_batch(place // size, groups, what, where)
            else:
                i, j = np.unravel_index(np.abs(far).argmax(), far.shape)
                shown = f"{what.format(i + first)} {came.format(j + 1)} {where} {counts[i, j]} times"
                about = draws * share
            advice = "draw each anew" if where == "the next pass" else "rng.permutation makes them so"
            raise answer.not_yet(
                f"in {draws} passes {shown} (chance gives about {about:.0f}); any order must be as likely as any "
                f"other: {advice}"
            )


def _by_batch(batch: np.ndarray, groups: np.ndarray, what: str, where: str) -> tuple[str, float]:
    """Which things came in which batch (draws, n) most unlike chance, in words, and how often chance does so."""
    things = (batch[:, groups == group].ravel() for group in np.unique(groups))
    counts = np.array([np.bincount(came, minlength=batch.max() + 1) for came in things])
    chance = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    i, j = np.unravel_index((np.abs(counts - chance) / np.sqrt(chance)).argmax(), counts.shape)
    return f"{what.format(i + 1)} came in batch {j + 1} of {where} {counts[i, j]} times", chance[i, j]
