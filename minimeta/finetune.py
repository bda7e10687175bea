"""Stage two: an encoder is fine-tuned on English NLI before any meta-training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .corpora import LABELS
from .encoders import load

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Settings:
    """The numbers of stage two."""

    epochs: int
    rate: float
    batch_size: int = 32
    max_length: int = 128


TOY = Settings(epochs=2, rate=1e-3)
PAPER = Settings(epochs=3, rate=2e-5)
"""XLA-MAML, section 4.1: AdamW on MultiNLI."""


def nli(encoder: str | Path, corpus: Dataset, out: str | Path, settings: Settings, seed: int = 0) -> None:
    """Fine-tune a Hugging Face encoder on the rows of an NLI corpus and write it, with its tokenizer, to `out`.

    It is trained in float32 and written in the precision that it came in.
    """
    from transformers import AutoConfig, DataCollatorWithPadding, Trainer, TrainingArguments

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no trained NLI classifier")  # it is trained here
        model, tokenizer = load(str(encoder), seed=seed)
    model.config.id2label = dict(enumerate(LABELS))
    model.config.label2id = {name: number for number, name in enumerate(LABELS)}

    def tokens(rows: dict[str, Sequence[Any]]) -> dict[str, Any]:
        return tokenizer(rows["premise"], rows["hypothesis"], truncation=True, max_length=settings.max_length)

    Trainer(
        model,
        TrainingArguments(
            output_dir=str(out),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.rate,
            warmup_steps=0.1,  # a share of all steps
            train_sampling_strategy="group_by_length",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=seed,
        ),
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=corpus.map(tokens, batched=True, remove_columns=[c for c in corpus.column_names if c != "label"]),
    ).train()
    model.to(AutoConfig.from_pretrained(encoder).dtype or model.dtype).save_pretrained(out)
    tokenizer.save_pretrained(out)
