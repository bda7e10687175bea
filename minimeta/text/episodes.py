"""Episodes from a corpus: which languages and genres give the support, which the query, and how many rows.

Samplers here draw row numbers; `encoded` turns them into tensors. A task is a language, or a language and a
genre (`de/fiction`). X-MAML and XLA-MAML differ by one argument: the language of the support.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..tasks import Batch, Episode, Sampler
from .languages import check, ordered

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


def sampler(
    corpus: Dataset,
    query: Sequence[str] | str,
    support: Sequence[str] | str | None = None,
    by: str | None = None,
    shots: int = 3,
    queries: int = 6,
    per_language: int | None = None,
    batches: int = 1,
    covering: bool = False,
    parallel: bool = False,
    target: Sequence[str] | str = (),
    split: str = "dev",
    support_split: str | None = None,
    seed: int = 0,
) -> Sampler:
    """Episodes of row numbers, the same ones for the same seed and outer step.

    There is a task for each language in `query`. Its support is in the same language (X-MAML), in the one language
    `support` (XLA-MAML: "en", or the target for few-shot), or in the language at its place in `support`: the
    bi-pair is `query=("bg", "de"), support=("de", "bg")`. With `by="genre"` a task is a language and one of
    its genres, and `per_language` of them are drawn per language and episode (None: all).

    Every task gets `shots` support and `queries` query rows, balanced over the classes and disjoint; `batches=K`
    draws a fresh support for each of K inner steps. With `covering`, rows are not drawn at random: every row of a
    task comes once before any of its class comes again. With `parallel`, the query rows are the translations of
    the support rows (XLA-MAML, section 3.1). Batches hold `row` of shape (tasks, shots or queries).

    Rows are those of `split`, support rows those of `support_split` if given ("train": MultiNLI's English), and
    never test rows. No row of `target`, the languages to be scored later, is drawn, but for the support of few-shot
    XLA-MAML, where `support` names it. Raises InputError if the corpus has too few rows or the target would leak.
    """
    query, supports = check(query), check(query if support is None else support)
    if len(supports) == 1:
        supports *= len(query)
    given_split, given = support_split or split, shots * batches
    if by not in (None, "genre"):
        raise InputError(f"Tasks can be split by 'genre' or not at all, not by {by!r}.")
    if shots < 0 or queries < 1 or batches < 1:
        raise InputError(f"Cannot draw {shots} shots, {queries} query rows and {batches} batches.")
    if len(supports) != len(query):
        raise InputError(f"{len(supports)} support languages do not go with {len(query)} tasks; name one, or one each.")
    if "test" in (split, given_split):
        raise InputError("Test rows are for scoring alone; draw episodes from dev or train.")
    leaks = [code for code in check(target) if code in query]
    if leaks:
        raise InputError(f"{leaks[0]} is a target language and would be a query; a target must stay unseen.")
    if parallel and (given != queries or any(map(str.__eq__, query, supports))):
        raise InputError(
            "Parallel episodes hold each support row and its translation: they need two different languages, and as "
            f"many support rows as query rows (now {given} and {queries})."
        )
    pools = _pools(corpus, split, by)
    given_pools = pools if given_split == split else _pools(corpus, given_split, by)
    if not query or not pools:
        raise InputError(
            f"There is nothing to draw from: {len(query)} languages and a corpus with "
            f"{'some' if pools else 'no'} {split} rows."
        )
    genres = sorted({genre for _, genre in pools})
    own = [[number for number, genre in enumerate(genres) if (code, genre) in pools] for code in query]
    for language, numbers in zip(query, own, strict=True):
        if not numbers:
            there = ", ".join(ordered(code for code, _ in pools))
            raise InputError(f"The corpus has no {split} rows for {language}; it has them for {there}.")
        if per_language is not None and not 0 < per_language <= len(numbers):
            found = f"{len(numbers)} genres" + (f" in {language}" if len(numbers) < len(genres) else "")
            raise InputError(f"There are {found}; cannot draw {per_language} of them per language.")

    drawing = _covering if covering else _random
    pairs = columns(corpus)["pair"].to_numpy() if parallel else None
    tasks: dict[tuple[int, int], Callable[..., tuple[np.ndarray, np.ndarray]]] = {}
    choices = []  # what cannot work fails here, before training starts
    for place, (language, source) in enumerate(zip(query, supports, strict=True)):
        one = given_split == split and source == language
        for number in own[place]:
            genre = genres[number]
            asked = _enough(pools.get((language, genre)), language, genre, queries + given * one, split)
            rows = asked if one else _enough(given_pools.get((source, genre)), source, genre, given, given_split)
            draws = partial(drawing, seed=(seed, 3, place, number))
            tasks[place, number] = _task(rows, asked, given, queries, pairs, draws)
        one_of = [np.array(own[place])]
        choices.append(drawing(one_of, per_language, seed=(seed, 4, place)) if per_language else None)
    known = {name: columns(corpus)[name].to_numpy() for name in ("language", "split")}

    def draw(step: int) -> Episode:
        rng = np.random.default_rng((seed, step))
        names, supports_drawn, queries_drawn = [], [], []
        for place, (language, source) in enumerate(zip(query, supports, strict=True)):
            choose, size = choices[place], len(own[place])
            for turn, number in enumerate(choose(step, rng) if choose else own[place]):
                # Covering, each genre comes once before any comes again: so often has this one come before.
                before = (step * (per_language or size) + turn) // size
                rows, asked = tasks[place, int(number)](before, rng)
                _own(known, rows, source, given_split)
                _own(known, asked, language, split)
                names.append(task_name(language, genres[number]))
                supports_drawn.append(rows)
                queries_drawn.append(asked)
        drawn = torch.from_numpy(np.stack(supports_drawn)).unflatten(1, (batches, shots)) if shots else None
        support = tuple({"row": drawn[:, i]} for i in range(batches)) if drawn is not None else ()
        return Episode(tuple(names), support, {"row": torch.from_numpy(np.stack(queries_drawn))})

    return draw


def target_episodes(
    corpus: Dataset,
    target: str,
    shots: int,
    companions: Sampler | None = None,
    split: str = "test",
    seed: int = 0,
) -> list[Episode]:
    """One episode per genre of the target language, so that every row of its `split` is scored once.

    The support is one batch of the training tasks from `companions`, if given, and then `shots` dev rows of
    the target in that genre (none: zero-shot); the query is all rows of the genre in `split`. Row numbers.
    """
    check([target])
    test = _pools(corpus, split, "genre")
    genres = sorted(genre for language, genre in test if language == target)
    if not genres:
        raise InputError(f"The corpus has no {split} rows for {target}; choose another target or a fuller archive.")
    if companions is not None:
        given = companions(0).support
        found = given[0]["row"].shape[1] if given else 0
        if not found or shots not in (0, found):
            raise InputError(
                f"The training tasks beside the target have {found} shots and the target {shots}; pooled steps need "
                "training tasks with shots, and as many as the target's."
            )
    own = _pools(corpus, "dev", "genre") if shots else {}
    # A stream of its own: (seed, 0) is that of the first training episode.
    rng = np.random.default_rng((seed, 0, 1))
    episodes = []
    for number, genre in enumerate(genres):
        tasks: tuple[str, ...] = (task_name(target, genre),)
        parts: list[Tensor] = []
        if companions is not None:
            others = companions(number)
            tasks = others.tasks + tasks
            parts.append(others.support[0]["row"])
        if shots:
            rows = _enough(own.get((target, genre)), target, genre, shots, "dev")
            parts.append(torch.from_numpy(_balanced(rows, shots, rng))[None])
        query = np.sort(np.concatenate(test[target, genre]))
        support = ({"row": torch.cat(parts)},) if parts else ()
        episodes.append(Episode(tasks, support, {"row": torch.from_numpy(query)[None]}))
    return episodes


def encode(episode: Episode, features: Callable[[Tensor], Batch]) -> Episode:
    """An episode of row numbers as an episode of tensors; `features` maps rows (m, n) to a batch."""
    support = tuple(features(batch["row"]) for batch in episode.support)
    return Episode(episode.tasks, support, features(episode.query["row"]))


def encoded(draw: Sampler, features: Callable[[Tensor], Batch]) -> Sampler:
    """A sampler of row numbers as a sampler of tensors."""
    return lambda step: encode(draw(step), features)


def task_name(language: str, genre: str | None) -> str:
    """`de/fiction`, or `de` for a task that is a whole language, as in a corpus without genres."""
    return f"{language}/{genre}" if genre else language


@lru_cache(maxsize=4)
def columns(corpus: Dataset) -> pd.DataFrame:
    """What samplers need to know about each row, read once for each corpus; without labels all are of one class."""
    names = ["language", "genre", "split", "pair", *(["label"] if "label" in corpus.column_names else [])]
    table = corpus.select_columns(names).to_pandas()
    return table if "label" in table else table.assign(label=0)


def rows_of(corpus: Dataset, language: str, split: str) -> list[int]:
    """The numbers of a language's rows in a split."""
    known = columns(corpus)
    return known.index[(known["language"] == language) & (known["split"] == split)].tolist()


@lru_cache(maxsize=16)
def _pools(corpus: Dataset, split: str, by: str | None) -> dict[tuple[str, str | None], list[np.ndarray]]:
    """The rows of each language (and genre) in `split`: one array of row numbers per class."""
    table = columns(corpus)
    keys = ["language", "genre"] if by else ["language"]
    pools = {}
    for key, part in table[table["split"] == split].groupby(keys):
        rows = [part.index[part["label"] == label].to_numpy() for label in range(table["label"].max() + 1)]
        pools[key if by else (key[0], None)] = rows
    return pools


def _enough(
    rows: list[np.ndarray] | None, language: str, genre: str | None, needed: int, split: str
) -> list[np.ndarray]:
    """The rows of a task, one array per class, if there are enough for `needed` balanced ones."""
    task = task_name(language, genre)
    if rows is None:
        raise InputError(f"The corpus has no {split} rows for {task}.")
    least = -(-needed // len(rows))
    if len(rows) > 1 and not min(map(len, rows)):
        raise InputError(
            f"{task} has no {split} rows of one of the {len(rows)} classes (rows that are held out do not count), and "
            "examples are drawn from each; give it some, or leave it out."
        )
    if min(map(len, rows)) < least:
        each = f"{least} of each class" if len(rows) > 1 else f"{least} rows"
        raise InputError(
            f"{task} has too few {split} rows: {needed} examples per episode need {each}, there are "
            f"{min(map(len, rows))}. Use fewer shots or queries, and for a target fewer target_shots or a smaller "
            "tune_batch."
        )
    return rows


_Draw = Callable[[int, np.random.Generator], np.ndarray]
"""Rows for the n-th use (from 0) of a pool, in random order from the generator, or covering the pool use by use."""


def _task(
    rows: list[np.ndarray],
    asked: list[np.ndarray],
    given: int,
    queries: int,
    pairs: np.ndarray | None,
    drawing: Callable[..., _Draw],
) -> Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Draws of a task's support and query: translations (with `pairs`), parts of one pool, or rows of two pools."""
    if pairs is not None:
        translation = {pairs[row]: row for part in asked for row in part}
        both = [np.array([row for row in part if pairs[row] in translation], int) for part in rows]
        if not any(map(len, both)):
            raise InputError(
                "The corpus does not say which rows translate each other: no pair is in both languages; draw rows that "
                "are not parallel, or give them a column pair."
            )
        draw = drawing(_enough(both, "translated", None, given, "support"), given)

        def translated(use: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            found = draw(use, rng)
            return found, np.array([translation[pairs[row]] for row in found])

        return translated
    if rows is asked:
        draw = drawing(rows, given + queries)
        return lambda use, rng: tuple(np.split(draw(use, rng), [given]))
    first, second = drawing(rows, given, role=0), drawing(asked, queries, role=1)
    return lambda use, rng: (first(use, rng), second(use, rng))


def _random(rows: list[np.ndarray], count: int, seed: object = None, role: int = 0) -> _Draw:
    """Different rows at random, independent from use to use."""
    return lambda use, rng: _balanced(rows, count, rng)


def _covering(rows: list[np.ndarray], count: int, seed: tuple[int, ...], role: int = 0) -> _Draw:
    """The classes in turn; in each, pass after pass over all its rows, every pass in an order of its own."""
    rng = np.random.default_rng((*seed, role))
    turns = rng.permutation(len(rows))
    passes: list[list[np.ndarray]] = [[] for _ in rows]
    apart = -(-count // len(rows)) - 1  # how many rows before must be others, so that no use has a row twice

    def at(label: int, rank: int) -> int:
        done, size = passes[label], len(rows[label])
        while len(done) * size <= rank:
            last = done[-1][size - apart :] if done else np.array([], int)
            order = list(rng_of[label].permutation(np.setdiff1d(rows[label], last)))
            for place, row in enumerate(last):  # the row that came first may also come first again
                order.insert(rng_of[label].integers(place + 1, len(order) + 1), row)
            done.append(np.array(order))
        return done[rank // size][rank % size]

    rng_of = rng.spawn(len(rows))
    places = np.arange(count)

    def draw(use: int, _: np.random.Generator) -> np.ndarray:
        return np.array([at(turns[n % len(rows)], n // len(rows)) for n in (use * count + places).tolist()], int)

    return draw


def _balanced(rows: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` different rows, the classes in turn, in a random order of the classes."""
    turns = -(-count // len(rows))
    drawn = np.stack([rng.permutation(part)[:turns] for part in rows], axis=1)
    return drawn[:, rng.permutation(len(rows))].reshape(-1)[:count]


def _own(columns: dict[str, np.ndarray], rows: np.ndarray, language: str, split: str) -> None:
    """The last guard against a leak: what was drawn is of the language and the split that were asked for."""
    if (columns["language"][rows] != language).any() or (columns["split"][rows] != split).any():
        raise AssertionError(f"Rows {rows} are not all {split} rows in {language}.")
