"""The mini world's meaning: small claims, what follows from what, and the draws that its corpora are made of.

A claim says who does what, and where and when if it says so. Nothing here knows a language; `phrases` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ..errors import InputError

GENRES = (
    "facetoface", "fiction", "government", "letters", "nineeleven", "oup", "slate", "telephone", "travel", "verbatim",
)  # fmt: skip
SLOTS = {"person": 4, "verb": 5, "place": 3, "time": 3}
"""How many phrases a genre has for each part of a claim."""

SHARES = {"train": 0.5, "dev": 0.2, "test": 0.3}
"""How the combinations of phrases are shared out to the splits."""


@dataclass(frozen=True)
class Claim:
    """Who does what, by the number of the phrase in its genre. A part that is None is not said.

    Without a person the claim is about someone, or about nobody if `negated`. `only`: and no one else does.
    """

    genre: str
    verb: int
    person: int | None = None
    place: int | None = None
    time: int | None = None
    negated: bool = False
    only: bool = False


def label(premise: Claim, hypothesis: Claim) -> str:
    """What a premise makes of a hypothesis (which has no `only`): entailment, neutral or contradiction.

    A claim covers another if it has the same verb and says nothing that the other does not say. An affirmed
    premise settles the claims that cover it, a negated one those that it covers. What is settled is entailed
    if both are affirmed or both negated, and contradicted otherwise; the rest is neutral. After `only` the
    premise is, for other persons, the claim that nobody does it.
    """
    if premise.only and hypothesis.person not in (None, premise.person):
        premise = replace(premise, person=None, negated=True)
    settled = _covers(premise, hypothesis) if premise.negated else _covers(hypothesis, premise)
    if not settled:
        return "neutral"
    return "entailment" if premise.negated == hypothesis.negated else "contradiction"


def _covers(general: Claim, specific: Claim) -> bool:
    said = (general.person, specific.person), (general.place, specific.place), (general.time, specific.time)
    same = (general.genre, general.verb) == (specific.genre, specific.verb)
    return same and all(wide in (None, narrow) for wide, narrow in said)


# The parts that a claim names beside its verb.
_Shape = tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    """A kind of premise, and the shape and sign of the hypotheses that it entails and contradicts."""

    premise: _Shape
    entailed: tuple[_Shape, bool]
    contradicted: tuple[_Shape, bool]
    negated: bool = False
    only: bool = False
    times: int = 1


def _kinds() -> Iterator[_Kind]:
    """The kinds of premise, in mirrored pairs, so that the hypothesis alone tells nothing about the label.

    Each shape and sign of a hypothesis is entailed by one kind of premise and contradicted by another, equally
    often. After `only` neither sign goes with a label; such premises are twice as many as the others, so that
    the signs of premise and hypothesis together tell little.
    """
    both: _Shape = ("place", "time")
    for part in both:
        # The affirmed and the negated hypothesis, the affirmed and the negated premise.
        for yes, no, affirmed, negated in (
            (("person", part), ("person", *both), ("person", *both), ("person", part)),
            (("person",), ("person", part), ("person", part), ("person",)),
            ((part,), both, ("person", *both), (part,)),
            (both, both, ("person", *both), (part,)),
        ):
            yield _Kind(affirmed, (yes, False), (no, True))
            yield _Kind(negated, (no, True), (yes, False), negated=True)
        for shape in (("person", part), ("person", *both)):
            for sign in (False, True):
                yield _Kind(shape, (shape, sign), (shape, sign), only=True, times=4)


def nli(genre: str, split: str, size: int, seed: int = 0) -> list[tuple[Claim, tuple[Claim, Claim, Claim]]]:
    """48 x `size` premises of a genre, each with an entailed, a neutral and a contradicted hypothesis.

    No combination of phrases serves as premise in two splits, and no pair of premise and hypothesis comes twice.
    """
    rng = np.random.default_rng((seed, GENRES.index(genre), list(SHARES).index(split), 1))
    found: list[tuple[Claim, tuple[Claim, Claim, Claim]]] = []
    seen: set[tuple[Claim, Claim]] = set()
    for number, kind in enumerate(_kinds()):
        wanted = len(found) + kind.times * size
        pool = combinations(genre, split, kind.premise, seed)
        for i in rng.permutation(len(pool)):
            if len(found) == wanted:
                break
            premise = replace(pool[i], negated=kind.negated, only=kind.only)
            # In turn, with both premises of a pair alike.
            near_entailed = (number // 2 + GENRES.index(genre) + wanted - len(found)) % 2 == 0
            hypotheses = _hypotheses(premise, kind, near_entailed, rng)
            pairs = {(premise, hypothesis) for hypothesis in hypotheses}
            if not pairs & seen:
                found.append((premise, hypotheses))
                seen |= pairs
        if len(found) < wanted:
            raise InputError(f"{genre} has too few {split} premises of one kind for size {size}; draw a smaller one.")
    return found


def combinations(genre: str, split: str, shape: _Shape, seed: int = 0) -> list[Claim]:
    """The affirmed claims of a shape whose combination of phrases belongs to `split`."""
    parts = ("verb", *shape)
    claims = [
        Claim(genre, **dict(zip(parts, numbers, strict=True)))
        for numbers in product(*(range(SLOTS[part]) for part in parts))
    ]
    shares = np.cumsum([0, *SHARES.values()])
    start, end = np.round(len(claims) * shares[[list(SHARES).index(split), list(SHARES).index(split) + 1]]).astype(int)
    order = np.random.default_rng((seed, GENRES.index(genre), *(list(SLOTS).index(part) for part in parts), 2))
    return [claims[i] for i in order.permutation(len(claims))[start:end]]


def _hypotheses(
    premise: Claim, kind: _Kind, near_entailed: bool, rng: np.random.Generator
) -> tuple[Claim, Claim, Claim]:
    """An entailed, a neutral and a contradicted one; the neutral one differs from one of the others by a phrase."""
    entailed, contradicted = (_filled(premise, *wanted, rng) for wanted in (kind.entailed, kind.contradicted))
    if kind.only:  # what is affirmed of the one is denied of the others
        others = _changed(entailed, "person")
        other = others[rng.integers(len(others))]
        entailed, contradicted = (other, contradicted) if entailed.negated else (entailed, other)
    near = entailed if near_entailed else contradicted
    for part in rng.permutation([part for part in SLOTS if getattr(near, part) is not None]):
        neutral = [claim for claim in _changed(near, part) if label(premise, claim) == "neutral"]
        if neutral:
            break
    return entailed, neutral[rng.integers(len(neutral))], contradicted


def _filled(premise: Claim, shape: _Shape, negated: bool, rng: np.random.Generator) -> Claim:
    """A claim of a shape that agrees with the premise; what the premise does not say is drawn."""
    said = {part: getattr(premise, part) for part in shape}
    drawn = {part: int(rng.integers(SLOTS[part])) if number is None else number for part, number in said.items()}
    return Claim(premise.genre, premise.verb, negated=negated, **drawn)


def _changed(claim: Claim, part: str) -> list[Claim]:
    """The claims that differ from this one in the phrase of one part."""
    return [replace(claim, **{part: number}) for number in range(SLOTS[part]) if number != getattr(claim, part)]


def passages(genre: str, split: str, size: int, seed: int = 0) -> list[tuple[tuple[Claim, ...], int]]:
    """`size` passages of three to five claims, each with the position of the claim that is asked about.

    That one alone has its verb and place affirmed (who?), and its person and verb (where?). The others come
    close: another person somewhere else, someone who does not do it there, the same person or place with
    another verb. With more passages than claims to ask about, each is asked about once before any comes again, in
    other company.
    """
    rng = np.random.default_rng((seed, GENRES.index(genre), list(SHARES).index(split), 3))
    pool = combinations(genre, split, ("person", "place"), seed)
    pool += combinations(genre, split, ("person", "place", "time"), seed)
    found = []
    for number in range(size):
        if number % len(pool) == 0:
            turns = rng.permutation(len(pool))
        asked = pool[turns[number % len(pool)]]

        def other(claim: Claim, *parts: str) -> Claim:
            for part in parts:
                choices = _changed(claim, part)
                claim = choices[rng.integers(len(choices))]
            return replace(claim, time=[None, *range(SLOTS["time"])][rng.integers(1 + SLOTS["time"])])

        near = [
            other(asked, "person", "place"),
            replace(other(asked, "person"), negated=True),
            other(asked, "verb", "place"),
            other(asked, "person", "verb"),
        ]
        chosen = [asked, *(near[j] for j in rng.permutation(len(near))[: rng.integers(2, 5)])]
        order = rng.permutation(len(chosen))
        found.append((tuple(chosen[j] for j in order), int(np.argmin(order))))
    return found
