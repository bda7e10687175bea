"""A world of a paper's size without its data: random weights, random rows, as many of them as XNLI and MLQA have.

What is computed is wrong, and takes as long and as much memory as the real thing with rows as long as they may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from ..text.corpora import LABELS
from ..text.encoders import parted
from ..text.features import Encoder, Features, Key
from ..text.languages import XNLI
from . import devices
from .world import World

if TYPE_CHECKING:
    from datasets import Dataset

ROWS = {
    "nli": {"dev": dict.fromkeys(XNLI, 2490), "test": dict.fromkeys(XNLI, 5010)},
    "qa": {
        "dev": {"en": 1148, "es": 500, "de": 512, "ar": 517, "vi": 511, "zh": 504, "hi": 507},
        "test": {"en": 11590, "es": 5253, "de": 4517, "ar": 5335, "vi": 5495, "zh": 5137, "hi": 4918},
    },
}
"""The rows of XNLI, which are of ten genres, and of MLQA by split and language."""

_VARIED = 64  # random rows, which stand for all of them


@dataclass(frozen=True)
class Sized(World):
    """A world whose `encoder` is "mBERT" or "XLM-R base" in size; `data` is a name and nothing is read."""

    def rows(self) -> Dataset:
        """A row for each that there is, without a text."""
        return _rows(self.task)

    def features(self, adapt: str, max_length: int) -> Features:
        """Random tokens, or random outputs of the frozen layers, for each row."""
        return _features(str(self.encoder), self.task, adapt, max_length, self.bf16, devices.here(self.device))


class _Random(Features):
    """Features of rows without texts."""

    def _learned(self, rows: Sequence[int]) -> tuple[list[Key], list[Any]]:
        return [(row % _VARIED, 0) for row in rows], [row % 3 if self.encoder.classes else [1, 2] for row in rows]

    def _compute(self, keys: Sequence[Key]) -> None:
        length, trunk = self.encoder.max_length, self.encoder.trunk
        for key in keys:
            if trunk is None:
                self.rows[key] = {"input_ids": torch.randint(5, 1000, (length,))}
                self.rows[key]["token_type_ids"] = torch.zeros(length, dtype=torch.long)
            else:
                self.rows[key] = {"hidden": torch.randn(length, trunk.embeddings.word_embeddings.embedding_dim)}


@lru_cache(maxsize=2)
def _rows(task: str) -> Dataset:
    from datasets import Dataset

    genres = [f"genre {i}" for i in range(10)] if task == "nli" else [""]
    right = "label" if task == "nli" else "answers"
    table = [
        {"language": code, "genre": genre, "split": split, "pair": f"{split} {genre} {i}", right: i % 3}
        for split, sizes in ROWS[task].items()
        for code, size in sizes.items()
        for genre in genres
        for i in range(int(size * (0.8 if split == "dev" else 1)) // len(genres))  # a fifth of dev is held out
    ]
    return Dataset.from_list(table)


@lru_cache(maxsize=2)
def _features(name: str, task: str, adapt: str, max_length: int, bf16: bool, device: str) -> Features:
    import transformers

    if name.startswith("XLM-R"):
        config = transformers.XLMRobertaConfig(vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1)
    else:
        config = transformers.BertConfig(vocab_size=119_547)
    config.num_labels, classes = (3, LABELS) if task == "nli" else (2, ())
    kind = transformers.AutoModelForSequenceClassification if classes else transformers.AutoModelForQuestionAnswering
    torch.manual_seed(0)
    learner, trunk = parted(kind.from_config(config, attn_implementation="eager"), classes, adapt, bf16)
    return _Random(Encoder(name, classes, learner, trunk, None, max_length, bf16).to(device), _rows(task))
