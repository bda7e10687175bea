"""Stage two: an encoder is fine-tuned on English before any meta-training, on NLI or on question answering.

Hugging Face's `Trainer` trains: several GPUs (`torchrun`), mixed precision and going on after a stop come from it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import expanded, whole_file
from .corpora import classes_of, texts_of
from .encoders import load
from .spans import first_answer, windows

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Settings:
    """The numbers of stage two.

    `freeze_embeddings` leaves the word vectors as they are (most of a multilingual encoder's parameters, and of the
    optimiser's memory). `bf16` computes in bfloat16 where that is safe (autocast) and keeps the parameters in float32.
    """

    epochs: float
    rate: float
    batch_size: int = 32
    max_length: int = 128
    freeze_embeddings: bool = False
    bf16: bool = False


TOY = {"nli": Settings(epochs=2, rate=1e-3), "qa": Settings(epochs=2, rate=1e-3, max_length=256)}
PAPER = {"nli": Settings(epochs=3, rate=2e-5), "qa": Settings(epochs=2, rate=3e-5, batch_size=12, max_length=384)}
"""XLA-MAML, section 4.1: AdamW on MultiNLI and on SQuAD 1.1."""
ROWS = {"nli": 392_702, "qa": 87_599}
"""The rows of their training sets: pairs with a label, and questions (a long passage has several windows)."""


def train(
    encoder: str | Path,
    corpus: Dataset,
    out: str | Path,
    settings: Settings,
    seed: int = 0,
    checkpoints: str | Path | None = None,
) -> None:
    """Fine-tune a Hugging Face encoder on the rows of a corpus and write it, with its tokenizer, to `out`.

    On NLI it learns the corpus's classes, on question answering all windows of the passages. It is trained in float32
    (or see `Settings.bf16`) and written in the precision that it came in. With `checkpoints`, a directory, ten of them
    are written on the way, the last two kept, and training goes on from the last one there.
    """
    import torch
    from transformers import AutoConfig, DataCollatorWithPadding, Trainer, TrainingArguments
    from transformers.utils import logging

    classes = classes_of(corpus)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was not trained for")  # it is trained here
        model, tokenizer, _ = load(str(encoder), classes, seed=seed)
    if classes:
        model.config.id2label = dict(enumerate(classes))
        model.config.label2id = {name: number for number, name in enumerate(classes)}
    logging.disable_progress_bar()  # of each file that is written
    out, checkpoints = Path(expanded(out)), Path(expanded(checkpoints)) if checkpoints else None
    precision = AutoConfig.from_pretrained(model.name_or_path).dtype or model.dtype  # of the weights when written
    if settings.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(checkpoints or out),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.rate,
            bf16=settings.bf16,
            use_cpu=settings.bf16 and not torch.cuda.is_available(),  # without it, bf16 insists on a GPU
            warmup_steps=0.1,  # a share of all steps
            train_sampling_strategy="group_by_length",
            save_strategy="steps" if checkpoints else "no",
            save_steps=0.1,
            save_total_limit=2,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=seed,
        ),
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=(_pairs if classes else _windows)(corpus, tokenizer, settings.max_length),
    )
    if checkpoints:
        trainer.add_callback(_same_order(checkpoints, len(trainer.get_train_dataloader())))
    trainer.train(resume_from_checkpoint=_last_whole(checkpoints) if checkpoints else None)
    model.to(precision).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _pairs(corpus: Dataset, tokenizer: Any, max_length: int) -> Dataset:
    texts = texts_of(corpus)

    def tokens(rows: dict[str, Sequence[Any]]) -> dict[str, Any]:
        return tokenizer(*(rows[name] for name in texts), truncation=True, max_length=max_length)

    return corpus.map(tokens, batched=True, remove_columns=[name for name in corpus.column_names if name != "label"])


def _windows(corpus: Dataset, tokenizer: Any, max_length: int) -> Dataset:
    from datasets import Dataset

    answers = [first_answer(told) for told in corpus["answers"]]
    found = windows(tokenizer, corpus["question"][:], corpus["context"][:], answers, max_length, max_length // 3)
    return Dataset.from_list(
        [
            {
                "input_ids": window.input_ids,
                "token_type_ids": window.token_types,
                "start_positions": window.start,
                "end_positions": window.end,
            }
            for each in found
            for window in each
        ]
    )


def _last_whole(checkpoints: Path) -> str | None:
    """The last checkpoint that was written to its end: the trainer's state is written last."""

    def whole(path: Path) -> bool:
        try:
            return "global_step" in json.loads((path / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False

    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]))
    return next((str(path) for path in reversed(found) if whole(path)), None)


def _same_order(checkpoints: Path, steps: int) -> Any:
    """A callback that gives an epoch of `steps` steps the order of rows that it had before a stop.

    The order is drawn from torch's generator when an epoch begins. The Trainer restores that of the checkpoint, in the
    middle of the epoch, and would draw another order.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import TrainerCallback

    class SameOrder(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            path = checkpoints / f"epoch-{state.global_step // steps}-{args.process_index}.safetensors"
            if path.exists():
                torch.set_rng_state(load_file(path)["random"])
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as unfinished:
                    save_file({"random": torch.get_rng_state()}, unfinished)

    return SameOrder()
