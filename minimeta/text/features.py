"""Rows of a corpus as the batches that a learner takes, the frozen trunk's output computed once and kept.

It is kept in memory, or in a cache on disk that runs and workers share.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files import expanded, whole_file
from ..inner import Learner
from ..tasks import Batch, Episode, Sampler
from ..threads import one_at_a_time, threads_for
from .corpora import classes_of, texts_of
from .episodes import columns, encode, rows_of
from .heads import padded
from .spans import Window, best_spans, first_answer, training_window, windows

if TYPE_CHECKING:
    from datasets import Dataset

_TOGETHER, _STEP = 8, 16  # rows in a batch of the trunk, and the tokens that its lengths are a multiple of
_SCORED = 32  # windows that are scored together
_AHEAD = 1024  # rows that are computed together: few enough for a stop to lose little, so many that batches are full

Key = tuple[int, int]
"""An example: a row of the corpus, and the number of its window (0 for a pair)."""


@dataclass(frozen=True)
class Encoder:
    """An encoder ready for episodes: `learner` holds what is adapted, `trunk` what is not (None: nothing).

    `classes` are the names of what it tells apart, in the order of its logits; without them it finds answers.
    `matched` says how the checkpoint's classes were found to be these (see `encoders.match`).
    `features(corpus)` turns row numbers of a corpus into the batches that the learner takes.
    """

    name: str
    classes: tuple[str, ...]
    learner: Learner
    trunk: nn.Module | None
    tokenizer: Any
    max_length: int
    bf16: bool = False
    matched: str = ""

    def to(self, device: str) -> Encoder:
        """Move the encoder to a device, in place."""
        self.learner.to(device)
        if self.trunk is not None:
            self.trunk.to(device)
        return self

    def features(self, corpus: Dataset, cache: str | Path | None = None) -> Features:
        """The rows of `corpus` as batches; computed when first asked for and kept.

        With `cache`, a directory, the trunk's output is read from there as far as `Features.keep` has written it.
        Raises InputError if the corpus has other classes than the encoder.
        """
        if (theirs := classes_of(corpus)) != self.classes:
            ours, theirs = (", ".join(classes) or "places of answers" for classes in (self.classes, theirs))
            raise InputError(f"{self.name} was loaded for {ours}, the corpus has {theirs}; load an encoder for these.")
        return (PairFeatures if self.classes else SpanFeatures)(self, corpus, cache)


class Features:
    """Row numbers (m, n) in, a batch out: `mask` (m, n, T), `y` (m, n, ...) and the learner's inputs.

    The inputs are `hidden` (m, n, T, H) above a frozen trunk, or `input_ids` and `token_type_ids` (m, n, T)
    where everything is adapted. T is the length of the longest example in the batch. What has been computed
    stays in memory: about 2 kB per token and 512 hidden units for the trunk's output, without padding, or half of
    that in bfloat16. What lies in the cache on disk is read from there each time.
    """

    def __init__(self, encoder: Encoder, corpus: Dataset, cache: str | Path | None = None) -> None:
        self.encoder, self.corpus = encoder, corpus
        self.cache = Path(expanded(cache)) if cache and encoder.trunk is not None else None
        self.seconds = 0.0  # spent so far on computing examples
        self.rows: dict[Key, dict[str, Tensor]] = {}
        self._kept: dict[Key, tuple[Any, int, int]] = {}  # a file's tensor, and the example's place in it
        self._looked: set[tuple[str, str]] = set()

    def __getitem__(self, rows: Tensor) -> Batch:
        keys, y = self._learned(rows.flatten().tolist())
        batch = self.batch(keys)
        batch["y"] = torch.tensor(y, device=batch["mask"].device)
        return {name: value.unflatten(0, rows.shape) for name, value in batch.items()}

    def episodes(self, draw: Sampler, steps: int, few_lengths: bool = False) -> Sampler:
        """Episodes of row numbers as episodes of tensors, those of `draw` from any step on up to `steps`.

        They are those of `episodes.encoded`; but what is lacking of the next steps' rows is computed together, about
        1,000 rows at a time, in full batches. With `few_lengths`, all batches of an episode are padded to one length,
        a multiple of 16, so that a training can be compiled: few lengths are few shapes.
        """
        drawn: dict[int, Episode] = {}

        def encoded(step: int) -> Episode:
            if step not in drawn:
                drawn.clear()
                new: set[Key] = set()
                for at in range(step, max(steps, step + 1)):
                    drawn[at] = episode = draw(at)
                    for batch in (*episode.support, episode.query):
                        new.update(self._lacking(self._learned(batch["row"].flatten().tolist())[0]))
                    if len(new) >= _AHEAD:
                        break
                self._have(list(new))
            episode = encode(drawn[step], self.__getitem__)
            return self._of_one_length(episode) if few_lengths else episode

        return encoded

    def _of_one_length(self, episode: Episode) -> Episode:
        batches = (*episode.support, episode.query)
        longest = max(batch["mask"].shape[2] for batch in batches)
        length = max(longest, min(-(-longest // _STEP) * _STEP, self.encoder.max_length))

        def filled(name: str, value: Tensor) -> Tensor:
            before = [0, 0] * (value.ndim - 3)  # `pad` counts dimensions from the last one
            return value if name == "y" else nn.functional.pad(value, (*before, 0, length - value.shape[2]))

        *support, query = ({name: filled(name, value) for name, value in batch.items()} for batch in batches)
        return Episode(episode.tasks, tuple(support), query)

    def batch(self, keys: Sequence[Key]) -> Batch:
        """The learner's inputs for examples named by their keys, (n, T, ...)."""
        self._have(keys)
        device = next(self.encoder.learner.parameters()).device
        return {name: value.to(device) for name, value in padded([self._item(key) for key in keys]).items()}

    def _have(self, keys: Sequence[Key]) -> None:
        """Compute what is lacking of these examples."""
        start = time.perf_counter()
        self._compute(self._lacking(keys))
        self.seconds += time.perf_counter() - start

    def _lacking(self, keys: Sequence[Key]) -> list[Key]:
        """Which of these examples have not been computed, each once."""
        if self.cache is not None:
            self._look(keys)
        return [key for key in dict.fromkeys(keys) if key not in self.rows and key not in self._kept]

    def keep(self, blocks: Iterable[tuple[str, str]], say: Callable[[str], object] = print) -> None:
        """Write the trunk's output for all rows of some (language, split) into the cache, a file for each.

        `say` is told first how much there is to compute and how large it will be. A file is written whole or not at
        all, and what is there is not computed again. Raises InputError if there is no cache, or no room for it.
        """
        if self.cache is None:
            raise InputError(
                "These features have no cache to be kept in; name a directory in features(corpus, cache=...), above a "
                "trunk that is not adapted."
            )
        self.cache.mkdir(parents=True, exist_ok=True)
        inside = (self._keys(rows_of(self.corpus, *block)) for block in dict.fromkeys(blocks))
        missing = {path: keys for keys in inside if keys and not (path := self._path(keys)).exists()}
        tokens = sum(len(ids) for keys in missing.values() for ids in self._tokens(keys)[0])
        width = self.encoder.trunk.embeddings.word_embeddings.embedding_dim
        size = tokens * width * (2 if self.encoder.bf16 else 4)
        free = shutil.disk_usage(self.cache).free
        examples = sum(map(len, missing.values()))
        say(f"Trunk features of {examples:,} examples ({tokens:,} tokens): {size / 1e9:.2f} GB in {self.cache}")
        if size > free:
            raise InputError(
                f"{self.cache} has {free / 1e9:.2f} GB left for {size / 1e9:.2f} GB of trunk features; name another "
                "directory, or leave the cache away: they are then computed in each run."
            )
        for path, keys in missing.items():
            start = time.perf_counter()
            self._write(path, keys)
            self.seconds += time.perf_counter() - start

    def _write(self, path: Path, keys: Sequence[Key]) -> None:
        from safetensors.torch import save_file

        self._compute(keys)
        whole = torch.cat([self.rows[key]["hidden"] for key in keys])
        ends = torch.tensor([len(self.rows[key]["hidden"]) for key in keys]).cumsum(0)
        with whole_file(path) as unfinished:
            save_file({"hidden": whole, "ends": ends}, unfinished)
        for key in keys:
            del self.rows[key]
        self._open(path, keys)

    def _look(self, keys: Sequence[Key]) -> None:
        """Open the files of the (language, split) that these keys are of, if they have not been looked for yet."""
        known = columns(self.corpus).loc[[row for row, _ in keys], ["language", "split"]]
        for block in set(known.itertuples(index=False, name=None)) - self._looked:
            self._looked.add(block)
            path = self._path(inside := self._keys(rows_of(self.corpus, *block)))
            if path.exists():
                self._open(path, inside)

    def _open(self, path: Path, keys: Sequence[Key]) -> None:
        from safetensors import safe_open

        try:
            file = safe_open(path, "pt")
            hidden, ends = file.get_slice("hidden"), file.get_tensor("ends").tolist()
        except Exception as error:  # safetensors' own error has no public base beside Exception
            raise InputError(f"{path} cannot be read ({error}); delete it, and it is made again.") from None
        self._kept.update((key, (hidden, *place)) for key, place in zip(keys, pairwise([0, *ends]), strict=True))

    def _item(self, key: Key) -> dict[str, Tensor]:
        if key not in self._kept:
            item = self.rows[key]
        else:
            hidden, start, end = self._kept[key]
            item = {"hidden": hidden[start:end]}
        return {name: value.float() if value.is_floating_point() else value for name, value in item.items()}

    def _path(self, keys: Sequence[Key]) -> Path:
        """A file name that tells what the trunk's output depends on: its weights, the tokens, how it is computed."""
        made = self._trunk_hash.copy()
        for ids, types in zip(*self._tokens(keys), strict=True):
            made.update(np.array([len(ids), *ids, *types], np.int32).tobytes())
        language, split = (columns(self.corpus)[name][keys[0][0]] for name in ("language", "split"))
        return self.cache / f"{language}-{split}-{made.hexdigest()[:16]}.safetensors"

    @cached_property
    def _trunk_hash(self) -> Any:
        device = next(self.encoder.trunk.parameters()).device.type
        made = hashlib.sha256(f"{device} {self.encoder.bf16} {_TOGETHER} {_STEP}".encode())
        for name, value in self.encoder.trunk.state_dict().items():
            made.update(name.encode())
            made.update(value.cpu().numpy().tobytes())
        return made

    def _keys(self, rows: Sequence[int]) -> list[Key]:
        """The keys of all examples that rows of the corpus give."""
        raise NotImplementedError

    def _compute(self, keys: Sequence[Key]) -> None:
        if not keys:
            return
        items = [
            {"input_ids": torch.tensor(ids), "token_type_ids": torch.tensor(types)}
            for ids, types in zip(*self._tokens(keys), strict=True)
        ]
        if self.encoder.trunk is None:
            self.rows.update(zip(keys, items, strict=True))
            return
        # Sums of floats depend on the shapes that they are computed in. Batches of one shape for each length, filled
        # up where examples are lacking, make an example's features the same in whatever company it is computed.
        by_length: dict[int, list[int]] = {}
        for i, item in enumerate(items):
            length = -(-len(item["input_ids"]) // _STEP) * _STEP
            by_length.setdefault(min(length, self.encoder.max_length), []).append(i)
        device = next(self.encoder.trunk.parameters()).device
        for length, members in by_length.items():
            for start in range(0, len(members), _TOGETHER):
                chosen = members[start : start + _TOGETHER]
                filled = chosen + chosen[-1:] * (_TOGETHER - len(chosen))
                batch = padded([items[i] for i in filled], length)
                precision = torch.autocast(device.type, torch.bfloat16, enabled=self.encoder.bf16)
                with torch.no_grad(), precision, threads_for(self.encoder.trunk, batch):
                    hidden = self.encoder.trunk(*(part.to(device) for part in batch.values()))
                if self.encoder.bf16:
                    hidden = hidden.bfloat16()
                for i, row in zip(chosen, hidden.cpu(), strict=False):
                    self.rows[keys[i]] = {"hidden": row[: len(items[i]["input_ids"])].clone()}

    def _learned(self, rows: Sequence[int]) -> tuple[list[Key], list[Any]]:
        """The example to learn from that each row gives, and what is to be learned of it."""
        raise NotImplementedError

    def _tokens(self, keys: Sequence[Key]) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids and token types of examples."""
        raise NotImplementedError


class PairFeatures(Features):
    """Classification: an example is a row's premise and hypothesis, or its single text; `y` (m, n) are labels."""

    def __init__(self, encoder: Encoder, corpus: Dataset, cache: str | Path | None = None) -> None:
        super().__init__(encoder, corpus, cache)
        self.texts = [corpus[name] for name in texts_of(corpus)]
        self.labels = corpus["label"][:]

    def _learned(self, rows: Sequence[int]) -> tuple[list[Key], list[int]]:
        return self._keys(rows), [self.labels[row] for row in rows]

    def _keys(self, rows: Sequence[int]) -> list[Key]:
        return [(row, 0) for row in rows]

    def _tokens(self, keys: Sequence[Key]) -> tuple[list[list[int]], list[list[int]]]:
        rows = [row for row, _ in keys]
        with one_at_a_time:  # a tokenizer's settings are its own, for all threads
            tokens = self.encoder.tokenizer(
                *(texts[rows] for texts in self.texts),
                truncation="longest_first",
                max_length=self.encoder.max_length,
            )
        ids = tokens["input_ids"]
        return ids, tokens.get("token_type_ids") or [[0] * len(each) for each in ids]


class SpanFeatures(Features):
    """Question answering: an example is (row, window), and a row in an episode its window to learn from.

    `y` (m, n, 2) are the first and the last token of the answer (the first answer, where there are several).
    """

    def __init__(self, encoder: Encoder, corpus: Dataset, cache: str | Path | None = None) -> None:
        super().__init__(encoder, corpus, cache)
        self.questions, self.contexts, self.answers = corpus["question"], corpus["context"], corpus["answers"]
        self._windows: dict[int, list[Window]] = {}

    def _learned(self, rows: Sequence[int]) -> tuple[list[Key], list[list[int]]]:
        number = {row: training_window(found) for row, found in self.windows(rows).items()}
        keys = [(row, number[row]) for row in rows]
        return keys, [[self._windows[row][part].start, self._windows[row][part].end] for row, part in keys]

    def windows(self, rows: Sequence[int]) -> dict[int, list[Window]]:
        """The windows of each of these rows."""
        new = [row for row in dict.fromkeys(rows) if row not in self._windows]
        if new:
            with one_at_a_time:
                found = windows(
                    self.encoder.tokenizer,
                    self.questions[new],
                    self.contexts[new],
                    list(map(first_answer, self.answers[new])),
                    self.encoder.max_length,
                    self.encoder.max_length // 3,
                )
            self._windows.update(zip(new, found, strict=True))
        return {row: self._windows[row] for row in rows}

    def scores(self, learner: Learner, keys: Sequence[Key]) -> Tensor:
        """The scores of the first and the last token that the learner gives to these examples, (n, T, 2)."""
        batch = self.batch(keys)
        with threads_for(learner, batch), torch.no_grad():
            return learner.outputs(batch)

    def predict(self, learner: Learner, rows: Sequence[int]) -> list[str]:
        """The learner's answer to each of these rows: its best valid span over all windows, as text."""
        keys = self._keys(rows)
        keys.sort(key=lambda key: len(self._windows[key[0]][key[1]].input_ids))
        best: dict[int, tuple[float, str]] = {}
        for start in range(0, len(keys), _SCORED):
            some = keys[start : start + _SCORED]
            scores = self.scores(learner, some)
            if not scores.isfinite().all():
                raise InputError("The scores are not finite; lower the inner or the outer rate of the training.")
            found = [self._windows[row][number] for row, number in some]
            inside = [torch.tensor([place is not None for place in window.places]) for window in found]
            values, first, last = best_spans(
                scores, nn.utils.rnn.pad_sequence(inside, batch_first=True).to(scores.device)
            )
            for (row, _), window, value, i, j in zip(
                some, found, values[:, 0].tolist(), first[:, 0].tolist(), last[:, 0].tolist(), strict=True
            ):
                if row not in best or value > best[row][0]:
                    best[row] = (value, window.text(self.contexts[row], i, j))
        return [best[row][1] for row in rows]

    def _keys(self, rows: Sequence[int]) -> list[Key]:
        return [(row, number) for row, found in self.windows(rows).items() for number in range(len(found))]

    def _tokens(self, keys: Sequence[Key]) -> tuple[list[list[int]], list[list[int]]]:
        found = [self._windows[row][number] for row, number in keys]
        return [window.input_ids for window in found], [window.token_types for window in found]
