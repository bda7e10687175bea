"""Episodes from a corpus: which languages and genres give the support, which the query, and how many rows.

Samplers here draw row numbers; `encoded` turns them into tensors. A task is a language, or a language and a
genre (`de/fiction`). X-MAML and XLA-MAML differ by one argument: the language of the support.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .corpora import LABELS
from .errors import InputError
from .languages import check
from .tasks import Batch, Episode, Sampler

if TYPE_CHECKING:
    from datasets import Dataset


def sampler(
    corpus: Dataset,
    languages: Sequence[str] | str,
    support: str | None = None,
    by: str | None = None,
    shots: int = 3,
    queries: int = 6,
    per_language: int | None = None,
    batches: int = 1,
    split: str = "dev",
    seed: int = 0,
) -> Sampler:
    """Episodes of row numbers, the same ones for the same seed and outer step.

    The query comes from `languages`, a task each; the support from the same language (X-MAML), or from the
    language `support` for all tasks (XLA-MAML: "en"). With `by="genre"` a task is a language and a genre, and
    `per_language` of them are drawn per language and episode (None: all). Every task gets `shots` support and
    `queries` query rows, balanced over the classes and disjoint; `batches=K` draws a fresh support for each of
    K inner steps. Batches hold `row` of shape (tasks, shots or queries).
    """
    languages = check(languages)
    check([support] if support else [])
    if by not in (None, "genre"):
        raise InputError(f"Tasks can be split by 'genre' or not at all, not by {by!r}.")
    if shots < 0 or queries < 1 or batches < 1:
        raise InputError(f"Cannot draw {shots} shots, {queries} query rows and {batches} batches.")
    pools = _pools(corpus, split, by)
    if not languages or not pools:
        raise InputError(
            f"There is nothing to draw from: {len(languages)} languages and a corpus with "
            f"{'some' if pools else 'no'} {split} rows."
        )
    genres = sorted({genre for _, genre in pools})
    if per_language is not None and not 0 < per_language <= len(genres):
        raise InputError(f"There are {len(genres)} genres; cannot draw {per_language} of them per language.")

    needed = shots * batches + queries
    for language in languages:  # what cannot work should fail before training starts
        for genre in genres:
            apart = support not in (None, language)
            _enough(pools, language, genre, queries if apart else needed, split)
            if apart:
                _enough(pools, support, genre, shots * batches, split)

    def draw(step: int) -> Episode:
        rng = np.random.default_rng((seed, step))
        tasks, rows_support, rows_query = [], [], []
        for language in languages:
            chosen = genres
            if per_language is not None:
                chosen = [genres[i] for i in rng.permutation(len(genres))[:per_language]]
            for genre in chosen:
                tasks.append(task_name(language, genre))
                if support not in (None, language):
                    rows_support.append(_balanced(pools[support, genre], shots * batches, rng))
                    rows_query.append(_balanced(pools[language, genre], queries, rng))
                else:
                    rows = _balanced(pools[language, genre], needed, rng)
                    rows_support.append(rows[: shots * batches])
                    rows_query.append(rows[shots * batches :])
        drawn = torch.from_numpy(np.stack(rows_support)).unflatten(1, (batches, shots)) if shots else None
        given = tuple({"row": drawn[:, i]} for i in range(batches)) if drawn is not None else ()
        return Episode(tuple(tasks), given, {"row": torch.from_numpy(np.stack(rows_query))})

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
            rows = _enough(own, target, genre, shots, "dev")
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
    """`de/fiction`, or `de` for a task that is a whole language."""
    return language if genre is None else f"{language}/{genre}"


def _pools(corpus: Dataset, split: str, by: str | None) -> dict[tuple[str, str | None], list[np.ndarray]]:
    """The rows of each language (and genre) in `split`: one array of row numbers per class."""
    columns = corpus.select_columns(["language", "genre", "split", "label"]).to_pandas()
    keys = ["language", "genre"] if by else ["language"]
    pools = {}
    for key, part in columns[columns["split"] == split].groupby(keys):
        rows = [part.index[part["label"] == label].to_numpy() for label in range(len(LABELS))]
        pools[key if by else (key[0], None)] = rows
    return pools


def _enough(
    pools: dict[tuple[str, str | None], list[np.ndarray]], language: str, genre: str | None, needed: int, split: str
) -> list[np.ndarray]:
    """The rows of a task, one array per class, if there are enough for `needed` balanced ones."""
    rows, task = pools.get((language, genre)), task_name(language, genre)
    if rows is None:
        raise InputError(f"The corpus has no {split} rows for {task}.")
    least = -(-needed // len(LABELS))
    if min(map(len, rows)) < least:
        raise InputError(
            f"{task} has too few {split} rows: {needed} examples per episode need {least} of each class, there are "
            f"{min(map(len, rows))}. Use fewer shots or queries."
        )
    return rows


def _balanced(rows: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` different rows, the classes in turn, in a random order of the classes."""
    turns = -(-count // len(rows))
    drawn = np.stack([rng.permutation(part)[:turns] for part in rows], axis=1)
    return drawn[:, rng.permutation(len(rows))].reshape(-1)[:count]
